"""The end of the machine: real, and without asking anybody."""

import ctypes
import os
import signal
import subprocess

RESTART, POWER_OFF = 0x01234567, 0x4321FEDC
# The process that is going to end the machine. The folder is in memory, so a restart empties it.
PENDING = "/run/shutdown"


def _end(how):
    os.sync()
    ctypes.CDLL(None).reboot(how)


def restart():
    _end(RESTART)


def off():
    _end(POWER_OFF)


def later(seconds, function):
    """Ends the machine after an answer has been given, by another process."""
    code = f"import sys, time; sys.path.insert(0, '/opt/rig'); import power; time.sleep({seconds}); power.{function}()"
    process = subprocess.Popen(["python3", "-S", "-c", code], start_new_session=True, stdin=subprocess.DEVNULL)
    with open(PENDING, "w", encoding="ascii") as file:
        file.write(str(process.pid))


def pending():
    return os.path.exists(PENDING)


def cancelled():
    """Whether there was something to cancel."""
    try:
        with open(PENDING, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        os.unlink(PENDING)
    except OSError:
        return False
    return True
