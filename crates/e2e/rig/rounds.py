"""The jobs of goldsmith: rounds of updates, generalization, optimization.

Updates are in C:\\rig-updates.txt, which a test writes: a line for each round, titles with "|" between them.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

import jobs
import language
import places
import power
import product
import serial_ports

RESTART = 101
NOTHING = 0
PATIENCE = 120


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def wanted(title, filters):
    """The first filter that matches decides; if none does, the update is left out."""
    if not filters:
        return True
    for each in filters:
        kind, _, condition = each.partition(":")
        script = language.Script("", None, None, "SYSTEM")
        script.variables.update({"_.title": title, "_": title})
        if script.condition(language.tokens(condition)):
            return kind == "include"
    return False


def arguments_in(folder):
    return json.loads(jobs.read(f"{folder}/arguments.json"))


def update_round(say, folder):
    arguments, file = arguments_in(folder), places.real(places.UPDATES)
    mark = arguments["mark"]
    rounds = (jobs.read(file) or "").splitlines()
    titles = [title for title in (rounds[0].split("|") if rounds else []) if wanted(title, arguments["filters"])]
    titles = titles[:arguments["limit"]]
    for title in titles:
        say(f"{mark} update {encoded(title)}")
    say(f"{mark} found {len(titles)}")
    if not titles:
        return NOTHING
    # A test can cancel a slow one.
    time.sleep(600 if "slow" in titles[0] else 1)
    if "broken" in titles[0]:
        say("0x80240016 the update is broken")
        return 1
    jobs.write(file, "".join(line + "\r\n" for line in rounds[1:]))
    places.note("updates", titles=titles, criteria=arguments["criteria"])
    say(f"{mark} installed {len(titles)} failed 0")
    return RESTART


def optimize(say, _folder):
    places.note("optimize")
    say("optimize: the rig has nothing to remove")
    return 0


def generalize(say, folder):
    arguments, path = arguments_in(folder), "C:\\DeprovisioningScript.ps1"
    mark, script = arguments["mark"], jobs.read(places.real(path))
    if script is None:
        say(f"{mark} failed {encoded(f'Deprovisioning script [{path}] could not be found')}")
        return 1
    say(f"running {path}:\r\n{script}")
    sysprep = [line.strip() for line in script.splitlines() if "sysprep.exe" in line.lower() and "/generalize" in line]
    if not sysprep:
        say(f"{mark} failed {encoded(f'{path} has ended, and the state of the image is IMAGE_STATE_COMPLETE')}")
        return 1
    places.note("generalize", sysprep=sysprep[0], user=arguments["user"])
    subprocess.Popen([sys.executable, "-S", "/opt/rig/rounds.py", folder], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(f"{folder}/finishing"):
        time.sleep(0.1)
    say(f"{mark} sealed")
    return 0


def finish(folder):
    """Takes out what the build has made, once the other side has read everything, and powers off."""
    arguments = arguments_in(folder)
    mark, user = arguments["mark"], arguments["user"]
    jobs.write(f"{folder}/finishing", "")
    until = time.monotonic() + PATIENCE
    while os.path.exists(folder) and time.monotonic() < until:
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    product.remove(places.real("C:\\DeprovisioningScript.ps1"))
    # The build removes its own scripts: what is still there shows that it has not.
    left = [name for name in os.listdir(places.real("C:\\Windows\\Temp")) if name.startswith("goldsmith")]
    if left:
        return serial_ports.write(f"goldsmith {mark} leftover file C:\\Windows\\Temp\\{left[0]}")
    shutil.rmtree(places.real(f"C:\\Users\\{user}"), ignore_errors=True)
    shutil.rmtree("/var/lib/rig/certificate", ignore_errors=True)
    os.unlink(places.STATE)
    places.note("generalized")
    os.sync()
    serial_ports.write(f"goldsmith {mark} generalized")
    power.off()


JOBS = {"update-round": update_round, "generalize": generalize, "optimize": optimize}

if __name__ == "__main__":
    sys.path.insert(0, "/opt/rig")
    finish(*sys.argv[1:])
