#!/bin/sh
# What a workload read is read again early in every boot of the image. Runs as root.
#
# before: forgets all files that are in memory, and notes those that are there all the same because
#         something at work has them mapped.
# after:  the files that came into memory since then become a list, with a unit that reads it.
set -u
work=/run/warm
place=/usr/local/lib/workload-readahead
unit=/etc/systemd/system/workload-readahead.service

say() { echo "workload: $*"; }
have() { command -v "$1" > /dev/null 2>&1; }

# What each file has in memory, as "BYTES SIZE PATH"; only of files on disks, and without those that do
# not outlive the build.
resident() {
    find / -xdev -type f -size +0 \
        ! -path '/tmp/*' ! -path '/var/tmp/*' ! -path '/run/*' ! -path '/var/log/*' \
        ! -path '/var/lib/cloud/*' ! -path "/home/${SUDO_USER:-nobody}/*" ! -path "$place/*" \
        ! -name '*
*' -print0 2> /dev/null |
        LC_ALL=C.UTF-8 xargs -0 -r fincore --noheadings --bytes --output RES,SIZE,FILE 2> /dev/null |
        sed 's/^ *//' | grep -v '^0 '
}

if ! have fincore || ! have find || ! have xargs; then
    if [ "$1" = before ]; then
        say "fincore (util-linux) is not in this image: the workload runs, and what it reads is not noted" >&2
    fi
    exit 0
fi

if [ "$1" = before ]; then
    mkdir -p "$work"
    sync
    echo 3 > /proc/sys/vm/drop_caches
    resident > "$work/before"
    exit 0
fi

sync
resident > "$work/after"
mkdir -p "$place"
: > "$place/files"
: > "$place/parts"
: > "$work/partly"
# Files that have more in memory than before: those of which at least half is there are read as a whole.
# Together at most half of the machine's memory, as the rest of it needs some too.
limit=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 512 }' /proc/meminfo)
awk -v limit="$limit" -v place="$place" -v work="$work" '
    { bytes = $1; size = $2; sub(/^[0-9]+ +[0-9]+ /, "") }
    NR == FNR { had[$0] = bytes; next }
    bytes <= had[$0] || total + bytes > limit { next }
    { total += bytes; count++; print $0 > (2 * bytes >= size ? place "/files" : work "/partly") }
    END { printf "%d files, %d MiB\n", count, total / 1048576 > (work "/sum") }
' "$work/before" "$work/after"

# Which parts of the others: pages less than 16 apart are one part.
if [ -s "$work/partly" ] && ! have python3; then
    say "there is no python3: large files of which a part was read are not read ahead" >&2
elif [ -s "$work/partly" ]; then
    python3 - "$work/partly" >> "$place/parts" << 'PYTHON'
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PAGE = mmap.PAGESIZE
for path in open(sys.argv[1], errors="surrogateescape").read().splitlines():
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    size = os.fstat(fd).st_size
    start = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    if start in (None, ctypes.c_void_p(-1).value):
        continue
    count = (size + PAGE - 1) // PAGE
    pages = (ctypes.c_ubyte * count)()
    libc.mincore(start, size, pages)
    libc.munmap(start, size)
    parts = []
    for page in range(count):
        if pages[page] & 1:
            if parts and page - parts[-1][1] < 16:
                parts[-1][1] = page
            else:
                parts.append([page, page])
    out = sys.stdout.buffer
    for first, last in sorted(sorted(parts, key=lambda p: p[0] - p[1])[:32]):
        line = "%d %d %s\n" % (first * PAGE, (last - first + 1) * PAGE, path)
        out.write(line.encode(errors="surrogateescape"))
PYTHON
fi

cat > "$place/read" << 'END'
#!/bin/sh
# Reads what the workload of this image read when it was made. Remove it with
# systemctl disable workload-readahead.service
cd "${0%/*}" || exit 0
tr '\n' '\0' < files | xargs -0 -r cat > /dev/null 2>&1
while read -r start length file; do
    dd if="$file" of=/dev/null bs=64k iflag=skip_bytes,count_bytes skip="$start" count="$length" 2> /dev/null
done < parts
exit 0
END
chmod 755 "$place" "$place/read"
chmod 644 "$place/files" "$place/parts"

if ! have systemctl; then
    say "there is no systemd: run $place/read at boot to have the files read" >&2
else
    # Not of type oneshot, so that nothing waits for it; after what mounts the disks, before the rest.
    cat > "$unit" << END
[Unit]
Description=Read ahead what the workload of this image reads
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target
Before=shutdown.target
ConditionPathExists=$place/files

[Service]
Type=simple
ExecStart=/bin/sh $place/read
Nice=19
CPUSchedulingPolicy=idle
IOSchedulingClass=idle

[Install]
WantedBy=sysinit.target
END
    chmod 644 "$unit"
    ! have restorecon || restorecon -R "$place" "$unit"
    systemctl daemon-reload
    systemctl -q enable workload-readahead.service || exit 1
fi
say "$(cat "$work/sum"), are read at every boot"
rm -rf "$work"
