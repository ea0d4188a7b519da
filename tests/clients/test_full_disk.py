"""The file system of the service's data is full: refusals say so and when to come back, `/readyz` is not ready, and
everything works again as soon as there is room, without a new start."""

import errno
import os
import subprocess
import sys

import pytest
import requests

from resource_manager import begun, cancel, code, created, finished, last_run, path, ran, runs
from service import ANSWERED_WITHIN_S, prepared, running, until
from templates import FOREVER, body, shell

SIZE_MIB = 96
RESERVE_MIB = 16
# A file system of that size cannot hold more writes.
WRITES = 3000
REFUSED = {503: "ServiceUnavailable", 507: "DiskFull"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A service with its data and its log on a small file system."""
    folder = tmp_path_factory.mktemp("full")
    data = folder / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "goldsmith-test", str(data)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        print(f"\nSKIPPED, NOT TESTED: a full disk. No file system can be mounted here: {mounted.stderr}", file=sys.stderr)
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield prepared(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture(scope="module")
def flags():
    return ["--disk-reserve-mib", str(RESERVE_MIB)]


@pytest.fixture(scope="module")
def service(folder, flags):
    with (folder / "data" / "serve.log").open("a") as log:
        with running(folder, flags, stderr=log) as service:
            yield service


class Filler:
    """A file that fills the disk."""

    def __init__(self, service):
        self.path = service.data / "filler"

    def fill(self, keep_mib=0):
        """Fills the disk except for so many bytes."""
        block = b"x" * 65536
        with self.path.open("ab", buffering=0) as file:
            while True:
                stat = os.statvfs(self.path)
                if stat.f_bavail * stat.f_frsize <= keep_mib * 2**20:
                    return
                try:
                    file.write(block)
                except OSError as full:
                    assert full.errno == errno.ENOSPC
                    return

    def free(self):
        self.path.unlink(missing_ok=True)


@pytest.fixture
def filler(service):
    filler = Filler(service)
    yield filler
    filler.free()


def is_refused(service, answer):
    if answer.status_code < 300:
        return False
    assert answer.status_code in REFUSED, answer.text
    assert code(answer) == REFUSED[answer.status_code] == answer.headers["x-ms-error-code"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert str(service.folder) not in answer.text
    return True


def readiness(service):
    return requests.get(f"{service.url}/readyz", verify=service.ca, timeout=ANSWERED_WITHIN_S)


def exhaust(arm, service, filler):
    """Writes until nothing is taken any more, not even what is small: the log of the database has some room of
    its own, which the first refusal does not use up."""
    for length in (1_000_000, 50_000, 10):
        made = body(service, customize=[shell("x" * length)])
        writes = iter(range(WRITES))
        filler.fill()
        while not is_refused(service, arm("PUT", path(f"filling-{length}-{next(writes)}"), json=made)):
            filler.fill()


def test_full_disk_rejects_writes_and_recovers(arm, service, filler):
    created(arm, "forever", body(service, customize=FOREVER))
    created(arm, "ordinary", body(service))
    run = begun(arm, "forever")
    until(lambda: last_run(arm, "forever").get("runSubState") == "Customizing")
    assert readiness(service).json() == {"status": "ready"}

    exhaust(arm, service, filler)
    # Each separate write takes a page of the remaining space.
    until(lambda: not readiness(service).ok, "not ready")
    refused = readiness(service)
    assert refused.status_code == 503 and code(refused) in ("DiskFull", "ServiceUnavailable"), refused.text
    assert int(refused.headers["Retry-After"]) >= 1
    assert "disk" in refused.json()["error"]["message"]
    # Reads work, and writes fail with the reason.
    assert arm("GET", path("ordinary")).status_code == 200
    for method, what in [("PUT", "late"), ("POST", "ordinary/run"), ("POST", "forever/cancel"), ("DELETE", "ordinary")]:
        answer = arm(method, path(what), json=body(service) if method == "PUT" else None)
        assert is_refused(service, answer), f"{method} {what}: {answer.status_code}"

    filler.free()
    # The next write succeeds, without a restart.
    put = arm("PUT", path("late"), json=body(service))
    assert put.status_code == 201, put.text
    assert finished(arm, put)["status"] == "Succeeded"
    until(lambda: readiness(service).ok, "ready again")
    cancel(arm, "forever", run)
    assert last_run(arm, "forever")["runState"] == "Canceled"
    assert ran(arm, "ordinary")["status"] == "Succeeded"
    assert service.process.poll() is None


def test_runs_and_fetches_wait_for_the_disk_reserve(arm, service, filler, scripts):
    created(arm, "waiting", body(service))
    fetching = body(service, customize=[{"type": "Shell", "scriptUri": f"{scripts.url}/hello.sh"}])
    filler.fill(keep_mib=RESERVE_MIB // 2)

    refused = arm("PUT", path("fetching"), json=fetching)
    assert refused.status_code == 507 and is_refused(service, refused), refused.text
    assert "reserve" in refused.json()["error"]["message"]
    # Requests that need little space succeed.
    created(arm, "small", body(service))
    assert readiness(service).ok
    run = begun(arm, "waiting")
    assert run.status_code == 202
    until(lambda: "reserve" in runs(arm, "waiting")[0]["message"], "it says why it waits")
    assert runs(arm, "waiting")[0]["runState"] == "Queued"
    assert "reserve" in last_run(arm, "waiting")["message"]
    assert "reserve" in readiness(service).json()["waiting"]

    filler.free()
    assert finished(arm, run)["status"] == "Succeeded"
    created(arm, "fetching", fetching)
