"""Imitates the scripts of `goldsmith trial windows`, by what they document of themselves.

Each function gets what writes to standard output and to standard error, and the user; it returns the exit code.
"""

import glob
import hashlib
import os
import time

import places
import power

# The network card of the machine, as Windows names it.
IDS = {("0x8086", "0x10d3"): "PCI\\VEN_8086&DEV_10D3&SUBSYS_00008086&REV_00\\3&13C0B0C5&0&10"}


def say(out, *words):
    out(f"trial {' '.join(map(str, words))}\r\n".encode())


def guest(out, _err, _user):
    say(out, "product", "The rig, which is no Windows")
    say(out, "build", "0.0")
    say(out, "powershell", "none")
    return 0


def text(out, err, _user):
    say(out, "text", "Grüße, 世界, 😀")
    objects = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    err(f'#< CLIXML\r\n{objects}<S S="Error">schön schiefgegangen_x000D__x000A_</S></Objs>'.encode())
    return 0


def identity(out, _err, user):
    say(out, "user", "NT AUTHORITY\\SYSTEM" if user == "SYSTEM" else f"RIG\\{user}")
    say(out, "system", user == "SYSTEM")
    say(out, "administrator", True)
    return 7


def restart(out, _err, _user):
    say(out, "restarting")
    power.later(0.2, "restart")
    time.sleep(900)
    return 0


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def network(out, err, _user):
    for device in sorted(glob.glob("/sys/class/net/*/device")):
        key = (read(f"{device}/vendor"), read(f"{device}/device"))
        say(out, "card", IDS.get(key, f"PCI\\VEN_{key[0]}&DEV_{key[1]}"))
        say(out, "driver", os.path.basename(os.path.realpath(f"{device}/driver")))
    return 0


def clock(out, _err, _user):
    say(out, "clock", int(time.time() * 1000))
    return 0


def digest(out, _err, _user):
    with open(places.real("C:\\Windows\\Temp\\trial-sealed.bin"), "rb") as file:
        say(out, "digest", hashlib.sha256(file.read()).hexdigest().upper())
    return 0


def trusted(out, _err, _user):
    say(out, "tpm", os.path.exists("/dev/tpm0"))
    variables = glob.glob("/sys/firmware/efi/efivars/SecureBoot-*")
    is_on = False
    if variables:
        with open(variables[0], "rb") as file:
            is_on = file.read()[-1] == 1
    say(out, "secure-boot", is_on)
    return 0


SCRIPTS = {
    "trial-guest": guest,
    "trial-text": text,
    "trial-identity": identity,
    "trial-restart": restart,
    "trial-network": network,
    "trial-clock": clock,
    "trial-digest": digest,
    "trial-trusted": trusted,
}
