#!/bin/sh
# Makes the machine start faster and its disk smaller, whatever host its image boots on later. Runs as
# root, after all customizers. Every line it prints says what was done. A part that does not go with
# this image is left out; one that fails is told of, and leaves things as they were.
#
# Not touched: what other hardware may need (drivers, kernel options), what the user set up (units,
# fonts, package lists), /tmp.
set -u

say() { echo "optimize: $*"; }
warn() { echo "optimize: warning: $*" >&2; }
have() { command -v "$1" > /dev/null 2>&1; }

# edit FILE EXPRESSION: changes a file as a whole or not at all. False if nothing changes.
edit() {
    file=$(readlink -f "$1") && new=$file.optimize || return 1
    # A copy first, for the owner and the mode.
    if cp -p "$file" "$new" && sed -E "$2" "$file" > "$new" && ! cmp -s "$file" "$new"; then
        sync "$new" && mv -f "$new" "$file" && return 0
    fi
    rm -f "$new"
    return 1
}

# 1. The boot loader does not wait. A wait without end (-1) was asked for and stays.
boot_loader() {
    for conf in /boot/efi/loader/loader.conf /efi/loader/loader.conf /boot/loader/loader.conf; do
        [ -f "$conf" ] || continue
        edit "$conf" 's/^timeout[[:space:]]+[1-9][0-9]*[[:space:]]*$/timeout 0/' &&
            say "$conf: systemd-boot does not wait"
    done
    for cfg in /boot/grub/grub.cfg /boot/grub2/grub.cfg /boot/efi/EFI/*/grub.cfg; do
        [ -f "$cfg" ] || continue
        edit "$cfg" 's/^([[:space:]]*set timeout=)[1-9][0-9]*[[:space:]]*$/\10/' &&
            say "$cfg: GRUB does not wait"
    done
    # For the next time that the file above is made anew.
    if [ -d /etc/default/grub.d ]; then
        printf '%s\n' '# Written when the image was optimized: no wait in the boot loader.' \
            GRUB_TIMEOUT=0 GRUB_RECORDFAIL_TIMEOUT=0 > /etc/default/grub.d/95-optimize.cfg
    elif [ -f /etc/default/grub ]; then
        edit /etc/default/grub 's/^(GRUB_TIMEOUT=)"?[1-9][0-9]*"?[[:space:]]*$/\10/'
    fi
    for conf in /boot/extlinux/extlinux.conf /boot/syslinux/syslinux.cfg; do
        [ -f "$conf" ] || continue
        # There, 0 is a wait without end; 1 is a tenth of a second.
        edit "$conf" 's/^([[:space:]]*(timeout|TIMEOUT)[[:space:]]+)([2-9]|[1-9][0-9]+)[[:space:]]*$/\11/' &&
            say "$conf: no wait"
    done
}

# 2. The initial file system of Debian and its kin, compressed by what unpacks fast. Dracut's may be
# made for one machine only when it is made anew, so it is left alone.
initramfs() {
    have update-initramfs && have zstd || return 0
    method=$(cat /etc/initramfs-tools/initramfs.conf /etc/initramfs-tools/conf.d/* 2> /dev/null |
        sed -n 's/^COMPRESS=//p' | tail -n 1)
    case ${method:-gzip} in gzip | bzip2 | lzma | xz | lzop) ;; *) return 0 ;; esac
    for config in /boot/config-*; do
        grep -qs '^CONFIG_RD_ZSTD=y' "$config" || return 0
    done
    ours=/etc/initramfs-tools/conf.d/zz-optimize.conf
    printf '%s\n' '# Written when the image was optimized: zstd unpacks fastest.' COMPRESS=zstd > "$ours"
    if update-initramfs -u -k all > /dev/null 2>&1; then
        say "the initial file system is compressed with zstd, no longer with ${method:-gzip}"
    else
        rm -f "$ours"
        warn "the initial file system could not be made anew; it stays as it was"
        update-initramfs -u -k all > /dev/null 2>&1
    fi
}

# 3. What would otherwise be made during the first boot or during every boot.
caches() {
    for modules in /lib/modules/*; do
        [ -d "$modules/kernel" ] || continue
        index=$modules/modules.dep.bin
        if [ ! -e "$index" ] ||
            [ -n "$(find "$modules" -name '*.ko*' -newer "$index" -print -quit 2> /dev/null)" ]; then
            depmod -a "${modules##*/}" && say "index of the kernel modules of ${modules##*/}"
        fi
    done
    have ldconfig && ldconfig 2> /dev/null && say "cache of the shared libraries"
    if have apparmor_parser && [ -d /etc/apparmor.d ] && [ -d /sys/kernel/security/apparmor ]; then
        find /etc/apparmor.d -maxdepth 1 -type f ! -name '*.dpkg-*' ! -name '.*' -print0 |
            xargs -0 -r apparmor_parser --skip-kernel-load --write-cache > /dev/null 2>&1 &&
            say "cache of the AppArmor profiles"
    fi
    have systemctl || return 0
    # Each of them looks for itself whether there is anything to do, as at a boot after an update of
    # /usr; the last one notes that it is done.
    for unit in ldconfig systemd-sysusers systemd-hwdb-update systemd-journal-catalog-update \
        systemd-update-done; do
        systemctl cat "$unit.service" > /dev/null 2>&1 || continue
        systemctl restart "$unit.service" > /dev/null 2>&1 || warn "$unit.service failed"
    done
    say "what the first boot after an update of /usr would do is done"
}

# 4. What only takes room: packages that are installed, journals of the build.
room() {
    have apt-get && apt-get clean && say "downloaded packages (apt) are gone"
    have dnf && dnf -q clean packages > /dev/null 2>&1 && say "downloaded packages (dnf) are gone"
    have zypper && zypper -q clean > /dev/null 2>&1 && say "downloaded packages (zypper) are gone"
    rm -rf /var/cache/PackageKit/* /var/crash/* /var/lib/systemd/coredump/* /root/.cache/pip
    if have journalctl && journalctl --rotate > /dev/null 2>&1; then
        journalctl --vacuum-time=1s > /dev/null 2>&1 && say "journals of the build are gone"
    fi
}

# 5. Space that is free in the file systems is free in the image. Discarding says which blocks are;
# where the disk cannot, nothing is lost.
trim() {
    sync
    have fstrim || { warn "there is no fstrim: the image keeps what was deleted"; return 0; }
    # Those that are mounted on demand as well.
    for place in /boot /boot/efi /efi; do ls "$place" > /dev/null 2>&1; done
    fstrim -av 2> /dev/null | sed 's/^/optimize: trimmed /'
}

boot_loader
initramfs
caches
room
trim
sync
exit 0
