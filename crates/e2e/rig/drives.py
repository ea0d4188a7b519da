"""The CD drives: their media come and go."""

import contextlib
import os
import subprocess
import tempfile
import time


@contextlib.contextmanager
def holding(name, size, seconds):
    """The open file of that name and size on a CD, as soon as there is one; None after these seconds."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while True:
            for drive in names():
                if not mounted(drive, folder):
                    continue
                try:
                    path = os.path.join(folder, name)
                    if os.path.isfile(path) and os.path.getsize(path) == size:
                        with open(path, "rb") as file:
                            yield file
                        return
                finally:
                    subprocess.run(["umount", folder], check=True)
            if time.monotonic() > end:
                yield None
                return
            time.sleep(0.5)


def names():
    """All drives, with and without a medium."""
    return sorted(drive for drive in os.listdir("/sys/block") if drive.startswith("sr"))


def mounted(drive, folder):
    """Whether the drive has a CD, which is in `folder` then."""
    mount = ["mount", "-t", "iso9660", "-o", "ro", f"/dev/{drive}", folder]
    return subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
