"""Where things are: the paths of Windows in the file system of the rig, and what the rig remembers."""

import json
import os
import re

# What the machine is: nothing of it is there before the first boot and after generalization.
STATE = "/var/lib/rig/state.json"
# What was done to the machine, one JSON object a line: for the tests, which read it in the image.
JOURNAL = "/var/lib/rig/journal"
# Answers that a test has prepared; see updates() in product.py.
UPDATES = "C:\\rig-updates.txt"

VARIABLES = {
    "systemroot": "C:\\Windows", "windir": "C:\\Windows", "systemdrive": "C:", "temp": "C:\\Windows\\Temp",
    "tmp": "C:\\Windows\\Temp", "programdata": "C:\\ProgramData", "programfiles": "C:\\Program Files",
    "computername": "RIG", "os": "Windows_NT",
}


def real(path):
    """The file of a path of Windows: C: is the folder /c, and case does not matter."""
    path = re.sub(r"%(\w+)%", lambda m: VARIABLES.get(m[1].lower(), m[0]), path.strip().strip('"'))
    parts = path.replace("\\", "/").split("/")
    if len(parts[0]) == 2 and parts[0][1] == ":":
        at = "/" + parts[0][0].lower()
        parts = parts[1:]
    elif path[:1] in "/\\":
        at = "/c"
    else:
        at = "/c/Users"
    for part in filter(None, parts):
        at = os.path.join(at, _entry(at, part))
    return at


def _entry(folder, name):
    try:
        return next((entry for entry in os.listdir(folder) if entry.lower() == name.lower()), name)
    except OSError:
        return name


def load():
    try:
        with open(STATE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(state):
    """Whole or not at all, also if the power fails."""
    os.makedirs(os.path.dirname(STATE), exist_ok=True)
    with open(STATE + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(STATE + ".new", STATE)


def note(what, **more):
    """Adds a line to the journal."""
    os.makedirs(os.path.dirname(JOURNAL), exist_ok=True)
    with open(JOURNAL, "a", encoding="utf-8") as file:
        file.write(json.dumps({"what": what, **more}) + "\n")


def boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
