# How an image of generation 1 boots: BIOS, GRUB in the master boot record and in a partition of its
# own (GPT). debian.sh calls these functions.

readonly BOOT_MIB=1

boot_early() {
  mkdir -p early/etc/default/grub.d
  cat > early/etc/default/grub.d/50-image.cfg <<END
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT="$CONSOLES"
GRUB_TERMINAL=console
GRUB_DISABLE_OS_PROBER=true
END
  # There is no disk yet. On the machine, cloud-init (grub_dpkg) tells the package which one it is, so
  # that its updates reach the boot sectors.
  echo "grub-pc grub-pc/install_devices_empty boolean true" > selections
}

boot_late() {
  # In the tree: what grub-install and update-grub would do if they found a disk below it. On the
  # machine they do, at every update of a kernel or of GRUB.
  cat > boot.sh <<END
grub=\$root/boot/grub
mkdir -p "\$grub/i386-pc"
cp "\$root"/usr/lib/grub/i386-pc/*.mod "\$root"/usr/lib/grub/i386-pc/*.lst "\$grub/i386-pc"
cat > "\$grub/i386-pc/load.cfg" <<'LOAD'
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
LOAD
in_root grub-mkimage --format=i386-pc --prefix=/boot/grub --config=/boot/grub/i386-pc/load.cfg \
  --output=/boot/grub/i386-pc/core.img biosdisk part_gpt ext2 search_fs_uuid
in_root grub-editenv /boot/grub/grubenv create
# The links follow the newest kernel until update-grub writes a menu of all.
cat > "\$grub/grub.cfg" <<'MENU'
search --no-floppy --fs-uuid --set=root $root_uuid
linux /vmlinuz root=UUID=$root_uuid ro $CONSOLES
initrd /initrd.img
boot
MENU
cp "\$root/usr/lib/grub/i386-pc/boot.img" "\$grub/i386-pc/core.img" .
END
}

boot_partition() {
  echo "start=$boot_start, size=$((BOOT_MIB * 2048)), type=21686148-6449-6E6F-744E-656564454649, name=BIOS"
}

# A sector's number as eight bytes, the lowest first.
sector() {
  printf "\\$(printf %03o $(($1 % 256)))\\$(printf %03o $(($1 / 256 % 256)))\0\0\0\0\0\0"
}

boot_write() {
  # The record loads the first sector of core.img, which loads the rest: each is told where that is.
  sector "$boot_start" | dd of=boot.img bs=1 seek=92 conv=notrunc status=none
  sector "$((boot_start + 1))" | dd of=core.img bs=1 seek=500 conv=notrunc status=none
  # Behind these bytes are the disk's name and the table of partitions.
  dd if=boot.img of=disk.raw bs=440 count=1 conv=notrunc status=none
  dd if=core.img of=disk.raw bs=512 seek="$boot_start" conv=notrunc status=none
  rm -f boot.img core.img
}
