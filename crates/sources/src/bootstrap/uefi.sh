# How an image of generation 2 boots: UEFI, systemd-boot on an EFI system partition, an entry a kernel.
# debian.sh calls these functions.

readonly BOOT_MIB=256
esp_id=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ' | tr a-f A-F)
esp_uuid=$(printf %s "$esp_id" | sed 's/^..../&-/')

# The kernel's own hooks then do the right thing, here as in every later update.
boot_early() {
  mkdir -p early/boot/efi early/etc/kernel
  # Boot entries are named by this word and not by the machine id, which an image has none of.
  echo debian > early/etc/kernel/entry-token
  echo "root=UUID=$root_uuid rw $CONSOLES" > early/etc/kernel/cmdline
  printf 'layout=bls\nBOOT_ROOT=/boot/efi\n' > early/etc/kernel/install.conf
}

boot_late() {
  # The ESP is mounted only while somebody looks at it: it is never dirty in a snapshot.
  cat >> late/etc/fstab <<END
UUID=$esp_uuid /boot/efi vfat umask=0077,noauto,x-systemd.automount,x-systemd.idle-timeout=30s 0 0
END
  cat > late/etc/cloud/cloud.cfg.d/51-boot.cfg <<END
# systemd-boot, so not this:
grub_dpkg:
  enabled: false
END
  # In the tree, with mmdebstrap's mounts around it: boot loader, entries of the kernels.
  cat > boot.sh <<'END'
# A random seed on the ESP would be the same on every machine made from the image, and to write one
# mounts the ESP at each boot (the second name is that of systemd 254 and newer).
in_root systemctl mask --quiet systemd-boot-system-token.service systemd-boot-random-seed.service
# A mount of its own, as on the real machine: paths in the entries begin at the ESP.
esp=$root/boot/efi
mount -t tmpfs -o mode=0700 esp "$esp"
loader=$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi
mkdir -p "$esp/EFI/BOOT" "$esp/EFI/systemd" "$esp/loader/entries"
cp "$loader" "$esp/EFI/BOOT/BOOTX64.EFI"
cp "$loader" "$esp/EFI/systemd/systemd-bootx64.efi"
printf 'timeout 0\neditor no\n' > "$esp/loader/loader.conf"
echo type1 > "$esp/loader/entries.srel"
for kernel in "$root"/boot/vmlinuz-*; do
  version=${kernel##*/vmlinuz-}
  in_root kernel-install add "$version" "/boot/vmlinuz-$version" "/boot/initrd.img-$version"
done
cp -r "$esp" esp
umount "$esp"
END
}

boot_partition() {
  echo "start=$boot_start, size=$((BOOT_MIB * 2048)), type=U, name=ESP"
}

boot_write() {
  truncate -s "${BOOT_MIB}M" esp.img
  mkfs.vfat -F 32 -n ESP -i "$esp_id" esp.img > vfat.log
  mcopy -s -i esp.img esp/* ::
  dd if=esp.img of=disk.raw bs=512 seek="$boot_start" conv=notrunc,sparse status=none
  rm -rf esp esp.img
}
