"""Imitates the scripts that goldsmith runs in Windows, by what they document of themselves.

A script comes with its arguments and its data by standard input, in lines of base64; its answers are lines
that begin with the mark of the arguments.
"""

import base64
import hashlib
import inspect
import json
import os
import threading
import time

import drives
import jobs
import language
import places
import power

CUT = 90
UNREADABLE = 126
INTERRUPTED = 0xC000013A
DEPROVISION = "C:\\DeprovisioningScript.ps1"
SYSPREP = "& $Env:SystemRoot\\System32\\Sysprep\\Sysprep.exe /oobe /generalize /quiet /quit"


class Cut(Exception):
    """The input ended before its last line."""


def call(stdin, stdout, stderr):
    """One script of goldsmith; its exit code."""
    lines = iter(stdin)
    try:
        arguments = json.loads(base64.b64decode(next(lines)))
        text = base64.b64decode(next(lines)).decode()
        one = Call(arguments, text, data(lines), stdin, stdout, stderr)
        return one.run()
    except (Cut, StopIteration):
        stderr.write(b"the input was cut off\r\n")
        return CUT


def data(lines):
    """The pieces of the data; raises Cut if its end does not come."""
    for line in lines:
        line = line.strip()
        if line == b".":
            return
        yield base64.b64decode(line, validate=True)
    raise Cut


def name(text):
    """What a script of goldsmith calls itself."""
    first = text.lstrip("\ufeff").partition("\n")[0].strip()
    return first.removeprefix("# goldsmith: ") if first.startswith("# goldsmith: ") else None


def remove(path):
    try:
        os.unlink(path)
    except OSError:
        pass


class Call:
    """One script with its arguments."""

    def __init__(self, arguments, text, pieces, stdin, stdout, stderr):
        self.arguments, self.text, self.pieces = arguments, text, pieces
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr

    def run(self):
        kind = name(self.text) or "without a name"
        function = getattr(self, "on_" + kind.replace("-", "_"), None)
        if function is not None:
            known = inspect.signature(function).parameters
            return function(**{key: value for key, value in self.arguments.items() if key in known}) or 0
        self.stderr.write(f"the rig does not know the script {kind}\r\n".encode())
        return 1

    def answer(self, *words, text=None):
        if text is not None:
            words += (base64.b64encode(text.encode()).decode(),)
        self.stdout.write(f"{' '.join([self.arguments['mark'], *map(str, words)])}\r\n".encode())

    def on_boot_id(self):
        self.answer("boot", places.boot_id())

    def on_settled(self):
        """At once, where Windows waits some seconds to see whether it stays so."""
        self.on_boot_id()
        if busy := jobs.busy():
            self.answer("busy", text=busy)
        else:
            self.answer("settled")

    def on_clock(self, now):
        time.clock_settime(time.CLOCK_REALTIME, float(now))
        self.answer("clock")

    def on_extend(self):
        places.note("extend")
        self.answer("extended")

    def on_disks(self, disks):
        found = [disk for disk in os.listdir("/sys/block") if disk.startswith("sd")]
        if len(found) - 1 != disks:
            self.stderr.write(f"{len(found) - 1} data disks instead of {disks}\r\n".encode())
            return 1
        self.answer("online", disks)

    def on_address(self, mac, wait, seconds):
        self.answer("yes")

    def on_sync(self):
        if power.pending():
            return self.answer("stopping", text="a restart is on its way")
        os.sync()
        self.answer("synced")

    def on_deprovision(self):
        if os.path.exists(places.real(DEPROVISION)):
            return self.answer("there")
        with open(places.real(DEPROVISION), "w", encoding="utf-8", newline="") as file:
            file.write(f"Write-Output '>>> Sysprepping VM ...'\r\n{SYSPREP}\r\n")
        self.answer("placed")

    def on_upload(self, path):
        self.arrived("upload", path, self.pieces)

    def on_take(self, path, name, bytes, seconds):
        with drives.holding(name, bytes, seconds) as found:
            if found is None:
                return self.answer("missing")
            self.arrived("take", path, iter(lambda: found.read(1 << 20), b""))

    def arrived(self, how, path, pieces):
        user = places.load()["user"]
        is_rooted = path[:1] in "/\\" or path[1:2] == ":"
        at = places.real(path if is_rooted else f"C:\\Users\\{user}\\{path}")
        if os.path.isdir(at):
            return self.answer("folder")
        hashed, new = hashlib.sha256(), at + ".new"
        try:
            with open(new, "wb") as file:
                for piece in pieces:
                    hashed.update(piece)
                    file.write(piece)
        except OSError as error:
            return self.answer("failed", text=f"Could not find a part of the path '{path}': {error.strerror}")
        os.rename(new, at)
        places.note(how, path=path, sha256=hashed.hexdigest())
        self.answer("sha256", hashed.hexdigest())

    def on_run(self, id):
        text = b"".join(self.pieces).decode()
        user = places.load()["user"]
        places.note("run", user=user, text=text)
        with open(places.real(f"C:\\Windows\\Temp\\goldsmith-{id}.ps1"), "w", encoding="utf-8") as file:
            file.write(text)
        self.answer("starts")
        stopped = threading.Event()
        self.stdin.on_terminate(stopped.set)
        try:
            return language.Script(text, self.stdout.write, self.stderr.write, user, stopped.is_set).run()
        except language.Unreadable as error:
            self.stderr.write(f"{error}\r\n".encode())
            return UNREADABLE
        except language.Stopped:
            return INTERRUPTED

    def on_job_start(self, id, user, password, arguments=None, **_):
        script = b"".join(self.pieces).decode()
        state = places.load()
        if user != "SYSTEM" and (user, password) != (state["user"], state["password"]):
            return self.answer("failed", text="The user name or password is incorrect.")
        self.answer("boot", places.boot_id())
        jobs.start(id, user, arguments, script)
        self.answer("started")

    def on_job_poll(self, id, offset, limit, seconds):
        output, state, more = jobs.poll(id, offset, limit, seconds)
        if output:
            self.answer("output", offset, base64.b64encode(output).decode())
        if state == "lost":
            self.answer("lost", text=more)
        else:
            self.answer(*filter(None, (state, more)))

    def on_job_end(self, id):
        jobs.end(id)
        self.answer("removed")
