"""One service acts on a database: a second one is refused, and one that was paused for longer than its lease does
nothing more. Restarts that are planned are no crashes."""

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess

import pytest

import postgres
from galleries import GALLERY_API, definition, gallery
from resource_manager import asks, asks_in_group, begun, created, last_run, path_of, run_ids, runs
from service import WITHIN_S, Service, prepared, until
from templates import FOREVER, body, managed, shared, shell, vhd

LEASE = ["--lease", "3s"]
TARGETS = [{"name": "westus2"}, {"name": "eastus"}]
# Longer than a lease, so that the second service works on the run before its script can end.
SCRIPT_S = 6
CONFLICT = 3
SQLITE_HISTORY = """
CREATE TABLE history (n INTEGER PRIMARY KEY, id TEXT, epoch BIGINT, state TEXT, owner TEXT);
CREATE TRIGGER noted AFTER UPDATE ON runs
BEGIN INSERT INTO history (id, epoch, state, owner) VALUES (NEW.id, NEW.epoch, NEW.state, NEW.owner); END;
"""
POSTGRES_HISTORY = """
CREATE TABLE history (n BIGSERIAL, id TEXT, epoch BIGINT, state TEXT, owner TEXT);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO history (id, epoch, state, owner) VALUES (NEW.id, NEW.epoch, NEW.state, NEW.owner); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION note();
"""


@contextlib.contextmanager
def sqlite(folder):
    """The address of a database, a function that queries it, and a trigger that records every write of a run."""
    file = folder / "shared.db"

    def ask(sql):
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as database:
            database.executescript(sql) if sql == SQLITE_HISTORY else None
            return [] if sql == SQLITE_HISTORY else database.execute(sql).fetchall()

    yield f"sqlite://{file}", ask, SQLITE_HISTORY


@contextlib.contextmanager
def postgresql(_):
    with postgres.serving() as (address, ask):
        yield address, ask, POSTGRES_HISTORY


@pytest.fixture(params=[sqlite, postgresql], ids=["sqlite", "postgresql"])
def pair(request, tmp_path):
    """Two services on one database; the second one's folder is a copy of the first one's, as a stand-by host has it.
    The first one runs."""
    folder = prepared(tmp_path / "one")
    (folder / "data" / "goldsmith.toml").write_text(f'[[region]]\nname = "eastus"\nplace = "{tmp_path}/eastus"\n')
    with request.param(tmp_path) as (address, ask, history):
        flags = [*LEASE, "--database", address]
        one = Service(folder, flags=flags).start()
        one.stop()
        shutil.copytree(folder / "data", tmp_path / "two" / "data", ignore=shutil.ignore_patterns("lock"))
        two = Service(tmp_path / "two", flags=flags)
        two.credentials = one.credentials
        ask(history)
        one.start()
        try:
            yield one, two, ask
        finally:
            for service in (one, two):
                if service.process and service.process.poll() is None:
                    service.process.send_signal(signal.SIGCONT)
                service.stop()


def made(folder):
    """The published files in a service's folders."""
    images = folder / "data" / "images"
    return sorted(
        str(found.relative_to(folder))
        for pattern in ("data/images/**/image.json", "data/**/*.vhd") for found in folder.glob(pattern)
    ) if images.exists() else []


def test_second_service_is_rejected_with_the_owner_of_the_database(pair):
    one, two, _ = pair
    done = subprocess.run(two.command(), capture_output=True, text=True, timeout=WITHIN_S)
    error = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, error["code"]) == (CONFLICT, "Conflict"), done.stderr
    for part in (f"process {one.process.pid}", str(one.data), "until 20"):
        assert part in error["message"], error
    one.stop()
    # Released on shutdown: no wait.
    two.start()


def test_paused_service_does_nothing_after_a_takeover(pair):
    one, two, ask = pair
    arm = asks_in_group(one)
    gallery(arm)
    version = shared(definition(arm, "d"), targetRegions=TARGETS)
    everything = [version, managed(one.subscription, "img"), vhd()]
    created(arm, "t", body(one, customize=[shell(f"sleep {SCRIPT_S}")], distribute=everything))
    operation = path_of(begun(arm, "t").headers["Azure-AsyncOperation"])
    until(lambda: last_run(arm, "t").get("runSubState") == "Customizing", "the run is at its script")
    one.process.send_signal(signal.SIGSTOP)

    two.start()
    arm = asks(two)
    until(lambda: "endTime" in runs(arm, "t")[0], "the second service has ended the run")
    after = made(two.folder)
    one.process.send_signal(signal.SIGCONT)
    # The script has ended too: without the check of the lease, the service would publish now.
    assert one.process.wait(WITHIN_S) == CONFLICT
    assert "taken over by" in one.process.stdout.read()

    assert runs(arm, "t")[0]["runState"] == "Succeeded"
    assert arm("GET", operation, None).json()["status"] == "Succeeded"
    assert made(one.folder) == [] and made(two.folder) == after != []
    versions = arm("GET", f"{version['galleryImageId']}/versions", GALLERY_API).json()["value"]
    assert [found["name"] for found in versions] == ["0.0.1"]
    (run,) = run_ids(arm, "t")
    history = ask(f"SELECT epoch, state, owner FROM history WHERE id = '{run}' ORDER BY n")
    epochs = [int(epoch) for epoch, _, _ in history]
    assert epochs == sorted(epochs) and set(epochs) == {1, 2}, history
    assert len({owner for _, _, owner in history}) == 2, history
    assert [state for _, state, _ in history].count("Succeeded") == 1 and history[-1][1] == "Succeeded", history


def test_paused_service_without_a_takeover_continues(pair):
    one, _, _ = pair
    arm = asks_in_group(one)
    created(arm, "t", body(one, customize=[shell(f"sleep {SCRIPT_S}")]))
    begun(arm, "t")
    until(lambda: last_run(arm, "t").get("runSubState") == "Customizing", "the run is at its script")
    one.process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        one.process.wait(2 * SCRIPT_S)
    one.process.send_signal(signal.SIGCONT)
    until(lambda: "endTime" in runs(arm, "t")[0], "the run is over")
    assert runs(arm, "t")[0]["runState"] == "Succeeded"


def test_planned_restart_does_not_count_as_a_crash(tmp_path):
    service = Service(prepared(tmp_path), flags=LEASE).start()
    try:
        arm = asks_in_group(service)
        created(arm, "t", body(service, customize=FOREVER))
        begun(arm, "t")

        def at_work():
            until(lambda: last_run(arm, "t").get("runSubState") == "Customizing", "the run is at work")

        at_work()
        for end in (service.stop, service.stop, service.kill):
            end()
            service.start()
            at_work()
        service.kill()
        service.start()
        until(lambda: "endTime" in runs(arm, "t")[0], "the second crash ends the run")
        assert runs(arm, "t")[0]["runState"] == "Failed"
        assert "crashed or was killed while the run was active, 2 times" in last_run(arm, "t")["message"]
    finally:
        service.stop()
