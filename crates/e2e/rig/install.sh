# Turns a guest with Debian into the rig: from its next boot on it plays Windows. Runs as root in /opt/rig.
set -eu
version=$(uname -r)
modules=/lib/modules/$version/kernel

# A small kernel and a small initial RAM disk, because emulated processors unpack slowly.
cat > /etc/initramfs-tools/modules <<'END'
ahci
sd_mod
ext4
END
# The Linux machine that this still is does not boot again, so virtio is not needed any more.
printf 'MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\n' > /etc/initramfs-tools/conf.d/image.conf
for unused in drivers/gpu drivers/media drivers/iio drivers/infiniband drivers/isdn drivers/staging \
  drivers/net/wireless drivers/net/ethernet/mellanox drivers/net/ethernet/chelsio sound net/bluetooth; do
  rm -rf "$modules/$unused"
done
depmod "$version"

# No systemd: what plays Windows is the first process, and up within seconds.
sed -i 's|$| init=/opt/rig/init panic=5|' /etc/kernel/cmdline
update-initramfs -u -k "$version"
kernel-install add "$version" "/boot/vmlinuz-$version" "/boot/initrd.img-$version"

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man
python3 -m compileall -q /opt/rig
chmod 755 /opt/rig/init
mkdir -p /c/Windows/Temp /c/Windows/Panther /c/Windows/System32/Sysprep /c/Users /cd
sync
fstrim / || true
