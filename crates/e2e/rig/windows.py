"""Plays Windows from its first boot on: the answer file, the console, the listener of WinRM.

The guest is Linux. Real are its restarts, its disk, its memory and its network; played is all that only
Windows has. So it proves what goldsmith does with a machine, and nothing about Windows.
"""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import drives
import jobs
import places
import power
import powershell
from serial_ports import write as console
from fake import certificate
from fake.auth import Accounts
from fake.server import Server
from fake.service import Service

CERTIFICATES = "/var/lib/rig/certificate"
CD = "/cd"


def medium():
    """Finds the CD by its file; without one, a machine waits for somebody at its first screen."""
    while True:
        for drive in drives.names():
            if drives.mounted(drive, CD):
                if os.path.exists(f"{CD}/Unattend.xml"):
                    return
                subprocess.run(["umount", CD], check=True)
        time.sleep(1)


def commands(answers):
    """The commands of the pass specialize, in their order."""
    name = "{urn:schemas-microsoft-com:unattend}"
    found = []
    for settings in answers.iter(f"{name}settings"):
        if settings.get("pass") == "specialize":
            found += [(int(command.findtext(f"{name}Order")), command.findtext(f"{name}Path")) for command in settings.iter(f"{name}RunSynchronousCommand")]
    return [command for _, command in sorted(found)]


def make_certificate():
    """Of its own, made once. On a curve, because emulated processors are slow with RSA."""
    pem, key = f"{CERTIFICATES}/certificate.pem", f"{CERTIFICATES}/key.pem"
    if not os.path.exists(pem):
        os.makedirs(CERTIFICATES, exist_ok=True)
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
                "-subj", "/CN=rig", "-addext", "extendedKeyUsage=serverAuth", "-keyout", key, "-out", pem]
        subprocess.run(made, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pem, key


def given():
    """What differs between machines, from the CD, which stays in."""
    with open(f"{CD}/goldsmith.json", encoding="utf-8") as file:
        return json.load(file)


def specialize():
    """What Setup and first.ps1 do with the CD before the first restart."""
    medium()
    run = commands(xml.parse(f"{CD}/Unattend.xml"))
    settings = given()
    say = said(settings["nonce"])
    if not any("first.ps1" in command for command in run) or not os.path.exists(f"{CD}/first.ps1"):
        say(f"failed the answer file runs no first.ps1: {run}")
        time.sleep(3600)
    say("step makes the build user")
    places.save({"user": settings["user"], "password": settings["password"]})
    places.note("specialize", user=settings["user"])
    say("step the build user is there")
    # Setup restarts the machine between its passes.
    power.restart()


def said(nonce):
    return lambda text: console(f"goldsmith {nonce} {text}")


def opened(state):
    """What first.ps1 does at every start once Setup is over."""
    places.note("boot", id=places.boot_id())
    # What Windows does after each start.
    jobs.busy_for(2)
    os.makedirs(places.real(f"C:\\Users\\{state['user']}"), exist_ok=True)
    medium()
    say = said(given()["nonce"])
    say("step sets up WinRM")
    pem, key = make_certificate()
    server = Server(Service(powershell.run, "{}", 512000, 30), Accounts(state["user"], state["password"]))
    server.listen(("0.0.0.0", 5986), certificate.context(pem, key))
    say("door winrm")
    say(f"certificate {certificate.fingerprint(pem)}")


def main():
    state = places.load()
    if not state:
        return specialize()
    opened(state)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.path.insert(0, "/opt/rig")
    main()
