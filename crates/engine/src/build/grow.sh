# Grows the partition and the file system of / to the end of the disk, as cloud-init does on a machine
# that it runs on. Runs as root, where the template makes the disk larger and cloud-init does not run.
set -eu
device=$(findmnt -nvo SOURCE /)
sys=/sys/class/block/$(basename "$(readlink -f "$device")")
if [ -e "$sys/partition" ]; then
    number=$(cat "$sys/partition")
    disk=/dev/$(basename "$(readlink -f "$sys/..")")
    if command -v growpart > /dev/null; then
        # 1: it reaches the end already.
        growpart "$disk" "$number" || [ $? = 1 ]
    else
        echo ", +" | sfdisk --no-reread --force --quiet -N "$number" "$disk"
        partx --update --nr "$number" "$disk"
    fi
fi
case $(findmnt -nvo FSTYPE /) in
    ext*) resize2fs "$device" ;;
    xfs) xfs_growfs / ;;
    btrfs) btrfs filesystem resize max / ;;
esac
