# Does what a build needs of cloud-init, in a guest where cloud-init does not run. Runs as root.
#
# $1: true if the disk is larger than the source's
set -eu
# Updates of GRUB for BIOS reach the boot sectors of the disk that debconf names (as grub_dpkg of
# cloud-init does it).
if dpkg-query --show --showformat='${Status}' grub-pc 2> /dev/null | grep -q 'ok installed'; then
    disk=$(grub-probe --target=disk /boot)
    printf 'grub-pc grub-pc/install_devices%s\n' " multiselect $disk" "_empty boolean false" |
        debconf-set-selections
fi
[ "$1" = true ] || exit 0
# The partition and the file system of / reach the end of the disk.
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
