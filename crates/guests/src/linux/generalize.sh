#!/bin/sh
# Takes everything out of the machine that belongs to this one machine or to its build, then looks
# whether anything was left, then powers off. Runs as root over the build user's connection, so the
# build user goes while it is still logged in. Few processes, since each costs time under emulation.
#
# $1: the build user   $2: the blob of its public key   $3: hardware addresses of the build machine,
# joined by |   $4: what a line for goldsmith begins with
set -u
user=$1
blob=$2
mark=$4

# As a whole word: a longer number that has one of them in it is none.
cards="(^|[^0-9a-fA-F:])($3)([^0-9a-fA-F:]|\$)"
# Network settings that hold for the build machine's cards alone.
bound_to_cards() {
    grep -rlsiE "$cards" /etc/systemd/network /etc/netplan /etc/network /etc/NetworkManager \
        /etc/sysconfig /etc/udev/rules.d /etc/wicked /etc/dhcp
}

fail() { echo "goldsmith: $1" >&2; exit "$2"; }

deprovision() {
    echo "removing logs, leases and histories"
    # From here on in memory, so that the shutdown leaves no journal under this machine's id.
    journalctl --relinquish-var 2> /dev/null &
    # A random seed that is in the image is the same on every machine; stopped, it is not saved anew.
    systemctl stop systemd-random-seed.service 2> /dev/null &
    wait
    rm -rf /var/log/journal/* /run/log/journal/* \
        /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease /var/lib/systemd/random-seed \
        /boot/efi/loader/random-seed /efi/loader/random-seed \
        /root/.bash_history /root/.wget-hsts /root/.lesshst
    for log in /var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/auth.log /var/log/secure; do
        [ ! -e "$log" ] || : > "$log"
    done
}

# Azure's agent, whose one use here is the line of AIB's own script: `waagent -force -deprovision+user`.
# Where the image has none, a stand-in takes its place while the template's script runs.
agent=/usr/sbin/waagent
asked=/run/goldsmith-deprovision
make_agent() {
    [ ! -e "$agent" ] || return 1
    cat 2> /dev/null > "$agent" <<END || return 1
#!/bin/sh
case " \$* " in *-deprovision*) : > $asked ;; esac
END
    chmod 755 "$agent"
}

# 1. The template's own script at AIB's well-known path, or ours.
if [ -e /tmp/DeprovisioningScript.sh ]; then
    echo "running /tmp/DeprovisioningScript.sh of the template"
    # Line ends of another system, as of any script.
    sed -i 's/\r$//' /tmp/DeprovisioningScript.sh
    script=/tmp/DeprovisioningScript.sh
    chmod 755 $script
    # Where /tmp is mounted noexec, it runs from a place that is not.
    if [ ! -x $script ]; then
        script=$(mktemp /usr/local/lib/goldsmith-script.XXXXXXXXXXXX) || fail "no place for a script below /usr/local/lib" 12
        cp /tmp/DeprovisioningScript.sh "$script"
        chmod 755 "$script"
    fi
    stand_in=no
    ! make_agent || stand_in=yes
    WAAGENT=$agent "$script" < /dev/null
    status=$?
    [ "$stand_in" = no ] || rm -f "$agent"
    [ "$status" = 0 ] || fail "/tmp/DeprovisioningScript.sh exited with status $status" 10
    [ ! -e "$asked" ] || deprovision
else
    deprovision
fi

# 2. What the build itself brought in goes in any case.
entry=$(getent passwd "$user")
home=${entry%:*}
home=${home##*:}
[ -z "$entry" ] || userdel -f -r "$user" > /dev/null 2>&1 &
# Scripts of steps that were cut off; the name is that of goldsmith's own.
script=goldsmith-script.????????????
rm -rf /tmp/DeprovisioningScript.sh /tmp/$script /var/tmp/$script /usr/local/lib/$script \
    "${home:-/home/$user}"/$script /var/lib/cloud/* /var/tmp/cloud-init \
    /var/log/cloud-init.log /var/log/cloud-init-output.log /etc/sudoers.d/90-cloud-init-users
# What the credentials wrote, beside the keys in /run.
rm -f /etc/sudoers.d/90-goldsmith /etc/ssh/sshd_config.d/00-goldsmith.conf /etc/ssh/ssh_host_* \
    /etc/systemd/network/10-cloud-init-*.network /etc/systemd/network/10-cloud-init-*.link \
    /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* \
    /etc/NetworkManager/system-connections/cloud-init-*
# Network settings that cloud-init wrote for this machine's card, under other names.
bound=$(bound_to_cards)
for file in $bound; do
    if grep -qs cloud-init "$file"; then rm -f "$file"; fi
done
if [ -e /etc/udev/rules.d/70-persistent-net.rules ]; then
    sed -i -E "/$cards/Id" /etc/udev/rules.d/70-persistent-net.rules
    [ -s /etc/udev/rules.d/70-persistent-net.rules ] || rm -f /etc/udev/rules.d/70-persistent-net.rules
fi
keys=/root/.ssh/authorized_keys
[ ! -e $keys ] || [ -s $keys ] || rm -f $keys
line=
[ ! -e /etc/tmpfiles.d/tmp.conf ] || read -r line < /etc/tmpfiles.d/tmp.conf
case $line in *"by goldsmith"*) rm -f /etc/tmpfiles.d/tmp.conf ;; esac
wait
# Backups that user management keeps of the files before the build user went.
rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
for id in /etc/machine-id /var/lib/dbus/machine-id; do
    [ -h "$id" ] || [ ! -e "$id" ] || : > "$id"
done

# 3. Anything left fails the build.
left=0
leftover() { printf '\n%s LEFTOVER %s\n' "$mark" "$1" >&2; left=1; }
! getent passwd "$user" > /dev/null || leftover "user $user"
[ ! -e "/home/$user" ] || leftover "folder /home/$user"
# A rule for the build user itself: the name alone is no rule, and longer names are other users.
for file in $(grep -rlsE -e "^[[:space:]]*$user[[:space:]]" /etc/sudoers /etc/sudoers.d); do leftover "sudo rule for $user in $file"; done
for file in $(grep -lsF -e "$blob" /root/.ssh/* /home/*/.ssh/* /etc/ssh/* /etc/ssh/*/* /var/lib/*/.ssh/*); do
    leftover "the build's key in $file"
done
for file in /etc/ssh/ssh_host_*; do [ ! -e "$file" ] || leftover "host key $file"; done
[ ! -e /etc/ssh/sshd_config.d/00-goldsmith.conf ] || leftover "SSH settings of the build in /etc/ssh/sshd_config.d/00-goldsmith.conf"
for file in ${bound:+$(bound_to_cards)}; do leftover "the build machine's hardware address in $file"; done
[ ! -s /etc/machine-id ] || leftover "machine id in /etc/machine-id"
[ -z "$(ls -A /var/lib/cloud 2> /dev/null)" ] || leftover "seed data in /var/lib/cloud"
[ "$left" = 0 ] || exit 11

# 4. Off. The connection may break before this script's status arrives: the last line says that all
# went well, and the machine's end is what the other side waits for.
printf '\n%s GENERALIZED\n' "$mark"
if command -v systemctl > /dev/null; then systemctl --no-block poweroff; else (sleep 1; poweroff) & fi
exit 0
