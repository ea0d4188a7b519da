# Makes a bootable disk image of Debian from its signed packages: disk.raw in the current folder.
#
# Runs in name spaces of its own (see bootstrap.rs): it is root there, what it mounts nobody else
# sees, and it ends as a whole with its first process. No loop device is used.
#
# From the environment: SUITE, COMPONENTS, MIRROR, SECURITY_MIRROR, PACKAGES (with commas),
# DISK_MIB, KEYRING (empty: as the host trusts). How the image boots is in uefi.sh or bios.sh, whose
# functions come before this, as do those of apparmor.sh.
# Users who are not root do not find sfdisk and its kind.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Nothing outside of this folder is written to.
mkdir -p tmp
TMPDIR=$(pwd)/tmp
export PATH TMPDIR

readonly CONSOLES="quiet console=tty1 console=ttyS0,115200"
readonly boot_start=2048
root_start=$((boot_start + BOOT_MIB * 2048))
# The end is left to the backup of the partition table.
root_mib=$((DISK_MIB - BOOT_MIB - 2))

here=$(pwd)
root=$here/root
root_uuid=$(cat /proc/sys/kernel/random/uuid)

cat > sources.list <<END
deb $MIRROR $SUITE $COMPONENTS
deb $MIRROR $SUITE-updates $COMPONENTS
deb $SECURITY_MIRROR $SUITE-security $COMPONENTS
END

# Before the packages are configured.
early() {
  mkdir -p early/etc/initramfs-tools/conf.d
  # Drivers of every machine, not of the one that made the image; zstd unpacks fastest.
  printf 'MODULES=most\nCOMPRESS=zstd\n' > early/etc/initramfs-tools/conf.d/image.conf
}

# After the packages, so that none of them can object.
late() {
  mkdir -p late/etc/default late/etc/apt late/etc/cloud/cloud.cfg.d \
    late/etc/systemd/network late/etc/systemd/system
  cp sources.list late/etc/apt/sources.list
  echo LANG=C.UTF-8 > late/etc/default/locale
  echo localhost > late/etc/hostname
  cat > late/etc/hosts <<END
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
END
  echo "UUID=$root_uuid / ext4 rw,discard,errors=remount-ro 0 1" > late/etc/fstab
  # What cloud-init writes for a data source (10-cloud-init-*) comes first; without one, DHCP.
  cat > late/etc/systemd/network/90-dhcp.network <<END
# Wired interfaces that nothing else configures.
[Match]
Name=en* eth*

[Link]
RequiredFamilyForOnline=any

[Network]
DHCP=yes
END
  # The second face of a Hyper-V interface; its first one has the address.
  cat > late/etc/systemd/network/05-hyper-v-vf.network <<END
[Match]
Virtualization=microsoft
Driver=mlx4_core mlx4_en mlx5_core mana

[Link]
Unmanaged=yes
END
  cat > late/etc/cloud/cloud.cfg.d/50-image.cfg <<END
system_info:
  network:
    renderers: [networkd]
END
  # Cloud-init makes the host keys; a machine without a data source needs some as well. One whose
  # sshd already has a key, which its configuration names, needs none.
  cat > late/etc/systemd/system/ssh-host-keys.service <<END
[Unit]
Description=Make SSH host keys if there are none
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
After=cloud-init.service
Before=ssh.service

[Service]
Type=oneshot
# sshd looks for it, and ssh.service has not made it yet.
RuntimeDirectory=sshd
RuntimeDirectoryPreserve=yes
ExecCondition=/bin/sh -c '! /usr/sbin/sshd -t -q'
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=ssh.service
END
}

# In the tree, with mmdebstrap's mounts around it: units, what boots.
cat > finish.sh <<'END'
set -eu
root=$1
in_root() { chroot "$root" "$@"; }
rm -f "$root"/etc/apt/sources.list.d/0000sources.list
in_root systemctl enable --quiet systemd-networkd systemd-resolved systemd-timesyncd \
  ssh-host-keys.service
# They look after LVM snapshots, which there are none of.
in_root systemctl disable --quiet e2scrub_reap.service e2scrub_all.timer

# What systemd does at the first boot after a change of /usr, where Debian has it do so (13 and newer).
if [ -e "$root/usr/lib/systemd/system/systemd-update-done.service" ]; then
  in_root ldconfig -X
  in_root journalctl --update-catalog
  in_root /usr/lib/systemd/systemd-update-done
fi

. ./boot.sh
. ./apparmor.sh

# What makes a machine itself.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed \
  "$root"/var/lib/dbus/machine-id "$root"/etc/.pwd.lock
find "$root/var/log" -type f -exec truncate --size=0 {} +
END

rm -rf early late root
: > selections
early
boot_early
late
boot_late
apparmor_late
tar --owner=0 --group=0 -C early -cf early.tar .
tar --owner=0 --group=0 -C late -cf late.tar .

mmdebstrap --mode=root --variant=minbase --format=directory --include="$PACKAGES" \
  ${KEYRING:+--keyring="$KEYRING"} \
  --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
  --essential-hook='tar -C "$1" -xf early.tar' \
  --essential-hook='chroot "$1" debconf-set-selections < selections' \
  --customize-hook='tar -C "$1" -xf late.tar' \
  --customize-hook='sh finish.sh "$1"' \
  "$SUITE" "$root" sources.list

# mmdebstrap and its host have a hand in these, so last.
: > root/etc/machine-id
echo localhost > root/etc/hostname
ln -sfn ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf

echo "I: writing the disk..." >&2
truncate -s "${DISK_MIB}M" disk.raw
sfdisk --quiet disk.raw <<END
label: gpt
first-lba: 2048
$(boot_partition)
start=$root_start, size=$((root_mib * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root
END
boot_write
mkfs.ext4 -q -L root -U "$root_uuid" -d root \
  -E "offset=$((root_start * 512)),lazy_itable_init=0,lazy_journal_init=0" \
  disk.raw "${root_mib}M"
# Here and not by who called: only in here do all these files belong to us.
rm -rf root early late tmp
