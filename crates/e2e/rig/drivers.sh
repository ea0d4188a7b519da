# Prepares a guest with Debian for its life as the rig: a small kernel for the machine of Windows, and the
# rig as its first process. Runs as root.
set -eu
version=$(uname -r)
modules=/lib/modules/$version/kernel

# Emulated processors unpack slowly. Virtio is not among them: this Linux does not boot again.
printf 'ahci\nsd_mod\next4\n' > /etc/initramfs-tools/modules
printf 'MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\n' > /etc/initramfs-tools/conf.d/image.conf
for unused in drivers/gpu drivers/media drivers/iio drivers/infiniband drivers/isdn drivers/staging \
  drivers/net/wireless drivers/net/ethernet/mellanox drivers/net/ethernet/chelsio sound net/bluetooth; do
  rm -rf "${modules:?}/$unused"
done
depmod "$version"

# No systemd: what plays Windows is up within seconds.
sed -i 's|$| init=/opt/rig/init panic=5|' /etc/kernel/cmdline
update-initramfs -u -k "$version"
kernel-install add "$version" "/boot/vmlinuz-$version" "/boot/initrd.img-$version"

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man
mkdir -p /opt/rig /c/Windows/Temp /c/Windows/Panther /c/Windows/System32/Sysprep /c/Users /cd
