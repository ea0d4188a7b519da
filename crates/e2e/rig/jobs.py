"""Detached jobs, as a scheduled task runs them: they survive connections and not restarts.

Run as a program, it is such a job: jobs.py FOLDER USER.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import places

FOLDER = "C:\\Windows\\Temp\\goldsmith-{}"
# Until then the machine is as busy as Windows is after updates; the folder is in memory.
BUSY = "/run/busy-until"


def folder(job):
    return places.real(FOLDER.format(job))


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def busy_for(seconds):
    write(BUSY, str(time.monotonic() + seconds))


def busy():
    until = read(BUSY)
    return "TiWorker.exe is running" if until and time.monotonic() < float(until) else None


def start(job, user, arguments, script):
    """Starts a job, once."""
    at = folder(job)
    if os.path.exists(f"{at}/boot"):
        return
    os.makedirs(at, exist_ok=True)
    write(f"{at}/script.ps1", script)
    if arguments is not None:
        write(f"{at}/arguments.json", arguments)
    places.note("job", user=user, text=script, arguments=arguments)
    with open(f"{at}/output", "wb") as output:
        process = subprocess.Popen(["python3", "-S", "/opt/rig/jobs.py", at, user], cwd="/", stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    write(f"{at}/pid", str(process.pid))
    write(f"{at}/boot", places.boot_id())


def poll(job, offset, limit, seconds):
    """Bytes of the output, `running`, `ended`, `lost` or `unknown`, and what belongs to that."""
    at = folder(job)
    until = time.monotonic() + seconds
    while True:
        boot, code = read(f"{at}/boot"), read(f"{at}/exit")
        if boot is None:
            return b"", "unknown", None
        with open(f"{at}/output", "rb") as file:
            file.seek(offset)
            output = file.read(limit)
        if output:
            return output, "running", None
        if code is not None:
            return b"", "ended", code
        if boot != places.boot_id():
            return b"", "lost", "the machine restarted while it ran"
        # It may have ended between the two looks.
        if not alive(int(read(f"{at}/pid"))) and read(f"{at}/exit") is None:
            return b"", "lost", "its process was ended"
        if time.monotonic() >= until:
            return b"", "running", None
        time.sleep(0.1)


def alive(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return os.path.exists(f"/proc/{pid}")


def end(job):
    at = folder(job)
    pid, boot = read(f"{at}/pid"), read(f"{at}/boot")
    if pid and boot == places.boot_id() and read(f"{at}/exit") is None:
        try:
            os.killpg(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    shutil.rmtree(at, ignore_errors=True)


def main():
    import language
    import product
    import rounds

    at, user = sys.argv[1:]
    text = read(f"{at}/script.ps1")
    out = sys.stdout.buffer

    def say(line):
        out.write(line if isinstance(line, bytes) else f"{line}\r\n".encode())
        out.flush()

    own = rounds.JOBS.get(product.name(text))
    try:
        code = own(say, at) if own else language.Script(text, say, say, user).run()
    except language.Unreadable as error:
        say(str(error))
        code = product.UNREADABLE
    write(f"{at}/exit", str(code))


if __name__ == "__main__":
    sys.path.insert(0, "/opt/rig")
    main()
