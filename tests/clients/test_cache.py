"""The cache of a running service: damaged, pruned, and locked by a stopped process."""

import contextlib
import os
import signal
import subprocess
import sys

import requests

from command_line import call_beside
from resource_manager import begun, created, delete, finished, last_run, path, ran
from service import ANSWERED_WITHIN_S
from templates import body, shell, vhd

CACHED = {"goldsmith.cache": "steps"}
HOLD = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(600)"


def flip(path):
    """Flips a bit in the middle of a file without changing its size and modification time."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def delivered(service):
    """The VHDs in storage accounts, without their footers, which contain a unique id."""
    files = sorted((service.data / "server" / "storage").glob("*/vhds/*.vhd"))
    return {file: file.read_bytes()[:-512] for file in files}


def cache(service, *words, ends_with=0):
    """Runs `goldsmith cache` during the service and returns its output."""
    code, said = call_beside(service, "cache", *words)
    assert code == ends_with, said
    return said


@contextlib.contextmanager
def held_and_stopped(lock):
    """A stopped process that holds the lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        yield
    finally:
        holder.kill()
        holder.wait()


def test_damaged_vhd_is_rebuilt_and_never_delivered(arm, service):
    created(arm, "vhd", body(service, distribute=[vhd("out")]) | {"tags": CACHED})
    assert ran(arm, "vhd")["status"] == "Succeeded"
    before = delivered(service)
    [good] = before.values()
    [artifact] = service.cache.glob("artifacts/*/disk.vhd")
    flip(artifact)
    assert ran(arm, "vhd")["status"] == "Succeeded"
    [new] = [content for file, content in delivered(service).items() if file not in before]
    assert new == good
    assert "damaged" in service.log.read_text()


def test_prune_works_during_the_service_and_reports_what_remains(arm, service, scripts):
    url, _ = scripts
    made = body(service, customize=[{"type": "Shell", "scriptUri": f"{url}/hello.sh"}])
    created(arm, "scripted", made)
    downloads = service.cache / "downloads"
    said = cache(service, "prune", "--all")
    assert [(one["kind"], one["why"]) for one in said["kept"]] == [("download", "ofATemplate")], said
    assert not list(service.cache.glob("nodes/*")) and not list(service.cache.glob("artifacts/*"))
    assert len(list(downloads.iterdir())) == 1
    assert ran(arm, "scripted")["status"] == "Succeeded"
    delete(arm, "scripted")
    assert cache(service, "prune", "--all")["kept"] == []
    assert not list(downloads.iterdir())


def test_verify_reads_everything_and_has_its_own_exit_code(arm, service):
    created(arm, "verified", body(service, distribute=[vhd("out")]) | {"tags": CACHED})
    assert ran(arm, "verified")["status"] == "Succeeded"
    assert cache(service, "verify", "--rate", "1000")["damaged"] == []
    [disk] = service.cache.glob("artifacts/*/disk.qcow2")
    flip(disk)
    said = cache(service, "verify", ends_with=3)
    assert [(one["path"], one["fate"]) for one in said["damaged"]] == [(str(disk), "evicted")], said
    assert cache(service, "verify")["damaged"] == []


def test_lock_of_a_stopped_process_fails_runs_but_not_the_service(arm, service):
    names = [f"locked{number}" for number in range(os.cpu_count() + 1)]
    for name in names:
        created(arm, name, body(service, customize=[shell("echo fresh")]))
        # New results replace old ones under the lock.
        assert ran(arm, name)["status"] == "Succeeded"
    with held_and_stopped(service.cache / "locks" / "superseded.lock"):
        started = [begun(arm, name) for name in names]
        for run in started:
            health = requests.get(f"{service.url}/healthz", verify=service.ca, timeout=ANSWERED_WITHIN_S)
            assert health.status_code == 200
            assert finished(arm, run)["status"] == "Failed"
        for name in names:
            assert "superseded.lock" in last_run(arm, name)["message"], last_run(arm, name)
    assert ran(arm, names[0])["status"] == "Succeeded"
    assert arm("GET", path(names[0])).status_code == 200
