"""Automatic runs: triggers that follow a source, schedules, and the effects of a restart on them."""

import random
import time

import pytest

from command_line import call_beside, signed_in
from galleries import GALLERY_API, definition, gallery
from resource_manager import (
    COMPUTE, asks_in_group, begun, cancel, code, created, finished, output, over, path, properties, ran, runs,
)
from service import prepared, running, until
from templates import FOREVER, body, latest_of, managed, shared, source

A_MINUTE_AND_MORE_S = 120
KILLS = 8
FAILURES = 2
# Clients send a location, which is ignored.
SOURCE_IMAGE = {"location": "westus2", "properties": {"kind": "SourceImage"}}
EVERY_MINUTE = {"goldsmith.schedule": "* * * * *"}


def looks_every(interval):
    return ["--trigger-interval", interval, "--trigger-failures", str(FAILURES)]


@pytest.fixture(scope="module")
def flags():
    """Triggers check after events only: their interval is too long for these tests."""
    return looks_every("1d")


@pytest.fixture(scope="module")
def arm(arm, service):
    gallery(arm)
    # It becomes due during the other tests.
    created(arm, "every-minute", {**body(service), "tags": EVERY_MINUTE})
    return arm


@pytest.fixture(scope="module")
def looking(tmp_path_factory):
    """A service whose triggers check every second, and a function that calls it."""
    with running(prepared(tmp_path_factory.mktemp("looking")), looks_every("1s")) as service:
        arm = asks_in_group(service)
        gallery(arm)
        yield arm, service


@pytest.fixture(scope="module", autouse=True)
def ended(tmp_path_factory):
    """A service that was stopped before its template's schedule was due."""
    with running(prepared(tmp_path_factory.mktemp("ended")), looks_every("1d")) as service:
        arm = asks_in_group(service)
        # At the end of a minute it might become due before the kill.
        until(lambda: time.gmtime().tm_sec < 45)
        created(arm, "missed", {**body(service), "tags": EVERY_MINUTE})
        due = schedule(arm, "missed")["nextRunTime"]
        service.kill()
        yield service, arm, due


def target(id):
    return shared(id, replicationRegions=["westus2"])


def maker(arm, service, name, id):
    """A template that creates versions of the definition, after one run."""
    created(arm, name, body(service, distribute=[target(id)]))
    return publish(arm, name)


def publish(arm, name):
    """Runs the template and returns the new version."""
    done = ran(arm, name)
    assert done["status"] == "Succeeded", done
    return output(arm, name, "shared")["artifactId"].rsplit("/", 1)[1]


def follower(arm, service, name, source, distribute=None):
    """Creates a template with the newest version of a source, and a trigger."""
    made = body(service, source=source)
    if distribute:
        made["properties"]["distribute"] = distribute
    created(arm, name, made)
    put = arm("PUT", f"{path(name)}/triggers/new", "2022-07-01", json=SOURCE_IMAGE)
    assert put.status_code == 201, put.text
    assert finished(arm, put)["status"] == "Succeeded"
    assert status(arm, name) == ("Healthy", "Trigger is active")


def status(arm, name):
    status = arm("GET", f"{path(name)}/triggers/new").json()["properties"]["status"]
    return status["code"], status["message"]


def schedule(arm, name):
    return arm("GET", f"{path(name)}/schedules/default").json()["properties"]


def causes(arm, name):
    return [(run["cause"]["kind"], run["cause"].get("version")) for run in runs(arm, name)]


def offer(service, name):
    """A function that adds a version of an image to the catalogue file."""
    file = service.data / "catalogue.toml"
    disk = service.folder / "tiny.qcow2"
    with file.open("a") as catalogue:
        catalogue.write(
            f'\n[[image]]\npublisher = "Tests"\noffer = "{name}"\nsku = "1"\ngeneration = 2\n'
        )

    def add(version):
        lines = f'[[image.file]]\nversion = "{version}"\npath = "{disk}"\nformat = "qcow2"\n'
        changed = file.with_suffix(".new")
        changed.write_text(file.read_text() + lines)
        changed.replace(file)

    add("1.0.0")
    return add


# conformance: 45, 46, 121, 125
def test_version_of_a_run_starts_runs_of_its_followers(arm, service):
    id = definition(arm, "base")
    first = maker(arm, service, "base", id)
    follower(arm, service, "app", latest_of(id))
    exact = properties(arm, "app")["source"]["exactVersion"]
    assert exact.endswith(f"/images/base/versions/{first}")
    assert runs(arm, "app") == [], "what was there at creation is not new"
    second = publish(arm, "base")
    run = over(arm, "app", 1)
    assert run["runState"] == "Succeeded", run
    assert run["cause"] == {"kind": "trigger", "name": "new", "version": second}
    until(lambda: status(arm, "app")[1].endswith(f"for source version {second} ended as Succeeded."))
    third = publish(arm, "base")
    over(arm, "app", 2)
    assert causes(arm, "app") == [("trigger", third), ("trigger", second)], "one run a version"

    # Deleting the newest version or changing the template starts no run; the next version does.
    gone = f"{COMPUTE}/galleries/g/images/base/versions/{third}"
    assert arm("DELETE", gone, GALLERY_API).ok
    change = {"properties": {"vmProfile": {"vmSize": "Standard_B1s"}}}
    finished(arm, arm("PATCH", path("app"), json=change))
    newest = publish(arm, "base")
    if newest == third:
        # The number is unused again, but already seen.
        newest = publish(arm, "base")
    over(arm, "app", 3)
    assert causes(arm, "app")[0] == ("trigger", newest)


# conformance: 43, 125
def test_new_version_in_the_catalogue_file_starts_a_run(looking):
    arm, service = looking
    add = offer(service, "watched")
    follower(arm, service, "watched", source("Tests:watched:1:latest"))

    def exact(name):
        return properties(arm, name)["source"]["exactVersion"]

    assert exact("watched") == "1.0.0"
    add("1.0.1")
    assert over(arm, "watched", 1)["cause"]["version"] == "1.0.1"
    created(arm, "later", body(service, source=source("Tests:watched:1:latest")))
    # A template reports the source of its last run.
    assert [exact("watched"), exact("later")] == ["1.0.1", "1.0.1"]


# conformance: 95, 125
def test_versions_during_a_run_start_one_run_after_it(looking):
    arm, service = looking
    add = offer(service, "busy")
    created(arm, "busy", body(service, source=source("Tests:busy:1:latest"), customize=FOREVER))
    put = arm("PUT", f"{path('busy')}/triggers/new", json=SOURCE_IMAGE)
    assert finished(arm, put)["status"] == "Succeeded"
    run = begun(arm, "busy")
    for version in ["1.1.0", "1.2.0"]:
        add(version)
    refused = begun(arm, "busy")
    assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed")
    cancel(arm, "busy", run)
    until(lambda: len(runs(arm, "busy")) == 2)
    assert arm("POST", f"{path('busy')}/cancel").status_code == 204
    over(arm, "busy", 2)
    assert causes(arm, "busy") == [("trigger", "1.2.0"), ("manual", None)]


# conformance: 126
def test_failed_runs_deactivate_a_trigger_and_a_manual_success_activates_it(looking):
    arm, service = looking
    add = offer(service, "flaky")
    id = definition(arm, "fragile")
    distribute = [target(id)]
    follower(arm, service, "flaky", source("Tests:flaky:1:latest"), distribute)
    assert arm("DELETE", f"{COMPUTE}/galleries/g/images/fragile", GALLERY_API).ok
    for number in range(1, FAILURES + 1):
        add(f"1.0.{number}")
        assert over(arm, "flaky", number)["runState"] == "Failed"
    until(lambda: status(arm, "flaky")[0] == "Deactivated")
    message = status(arm, "flaky")[1]
    assert f"source version 1.0.{FAILURES}" in message and "activates the trigger again" in message
    add("1.1.0")
    definition(arm, "fragile")
    assert ran(arm, "flaky")["status"] == "Succeeded"
    until(lambda: status(arm, "flaky")[0] == "Healthy")
    # The check may be before or after the start of that run: 1.1.0 has at most one run, 1.2.0 has one.
    add("1.2.0")
    until(lambda: ("trigger", "1.2.0") in causes(arm, "flaky"))
    assert causes(arm, "flaky").count(("trigger", "1.2.0")) == 1


# conformance: 7, 25, 122, 123, 124
def test_bad_trigger_is_rejected(arm, service):
    offer(service, "ruled")
    follower(arm, service, "ruled", source("Tests:ruled:1:latest"))
    second = arm("PUT", f"{path('ruled')}/triggers/second", json=SOURCE_IMAGE)
    assert (second.status_code, code(second)) == (409, "Conflict")
    kind = arm("PUT", f"{path('ruled')}/triggers/new", json={"properties": {"kind": "Schedule"}})
    assert (kind.status_code, code(kind)) == (400, "ValidationFailed")
    assert arm("GET", f"{path('ruled')}/triggers", "2022-02-14").status_code == 400
    assert arm("PUT", f"{path('ruled')}/triggers/a%20b", json=SOURCE_IMAGE).status_code == 400
    id = definition(arm, "ruled")
    changed = [managed(service.subscription, "img"), target(f"{id}/versions/1.0.0")]
    patch = arm("PATCH", path("ruled"), json={"properties": {"distribute": changed}})
    assert (patch.status_code, code(patch)) == (400, "ValidationFailed"), patch.text
    assert "trigger" in patch.text

    def refused(name, source, distribute):
        created(arm, name, body(service, source=source, distribute=distribute))
        put = arm("PUT", f"{path(name)}/triggers/new", json=SOURCE_IMAGE)
        assert (put.status_code, code(put)) == (400, "ValidationFailed"), put.text
        return put.text

    elsewhere = [managed(service.subscription, "img")]
    fixed = refused("fixed", source("Tests:ruled:1:1.0.0"), elsewhere)
    assert "latest" in fixed
    explicit = refused(
        "explicit", source("Tests:ruled:1:latest"), [target(f"{id}/versions/7.0.0")]
    )
    assert "always makes version 7.0.0" in explicit
    maker(arm, service, "ruled-base", id)
    assert "every run would start the next" in refused("circle", latest_of(id), [target(id)])


# conformance: 127
def test_deleted_trigger_starts_no_run(looking):
    arm, service = looking
    add = offer(service, "left")
    for name in ["left", "witness"]:
        follower(arm, service, name, source("Tests:left:1:latest"))
    gone = arm("DELETE", f"{path('left')}/triggers/new")
    assert gone.status_code == 202 and finished(arm, gone)["status"] == "Succeeded"
    assert arm("DELETE", f"{path('left')}/triggers/new").status_code == 204
    # Checks do not overlap: at the second version, all triggers have seen the first.
    for number in (1, 2):
        add(f"1.0.{number}")
        assert over(arm, "witness", number)["cause"]["version"] == f"1.0.{number}"
    assert runs(arm, "left") == []


# conformance: 84, 125
def test_versions_from_local_commands_are_latest_and_start_runs(looking):
    arm, service = looking
    id = definition(arm, "both")
    maker(arm, service, "both", id)
    follower(arm, service, "both-app", latest_of(id))
    image = str(service.folder / "tiny.qcow2")
    ended, said = call_beside(service, "image", "import", f"{id}/versions/5.0.0", image)
    assert ended == 0, said
    assert over(arm, "both-app", 1)["cause"]["version"] == "5.0.0"
    created(arm, "both-later", body(service, source=latest_of(id)))
    for name in ["both-app", "both-later"]:
        assert properties(arm, name)["source"]["exactVersion"] == f"{id}/versions/5.0.0"


# conformance: 125, 137
def test_version_starts_exactly_one_run_despite_kill_9(arm, service):
    id = definition(arm, "deadly")
    maker(arm, service, "deadly", id)
    follower(arm, service, "survivor", latest_of(id))
    chance = random.Random(125)
    made = []
    for number in range(KILLS):
        made.insert(0, publish(arm, "deadly"))
        time.sleep(chance.uniform(0, 0.1))  # the moment of death is the point of the test
        service.kill()
        service.start()
        assert over(arm, "survivor", number + 1)["runState"] == "Succeeded"
    assert causes(arm, "survivor") == [("trigger", version) for version in made]


# conformance: 107
def test_schedule_is_validated_shown_changed_and_removed(arm, service):
    wrong = {**body(service), "tags": {"goldsmith.schedule": "0 3 * *"}}
    refused = arm("PUT", path("planned"), json=wrong)
    assert (refused.status_code, code(refused)) == (400, "ValidationFailed")
    assert refused.json()["error"]["target"] == "tags" and "five fields" in refused.text
    tags = {"goldsmith.schedule": "Europe/Berlin 30 2 * * MON"}
    created(arm, "planned", {**body(service), "tags": tags})
    shown = schedule(arm, "planned")
    assert (shown["expression"], shown["timeZone"]) == ("30 2 * * MON", "Europe/Berlin")
    assert shown["nextRunTime"].endswith(("T00:30:00Z", "T01:30:00Z"))
    assert arm("GET", path("planned")).json()["tags"] == tags
    assert arm("DELETE", f"{path('planned')}/schedules/default").status_code == 405
    refused = arm("PATCH", path("planned"), json={"tags": {"goldsmith.schedule": "often"}})
    assert refused.status_code == 400 and refused.json()["error"]["target"] == "tags"
    # Also for a PATCH of tags only.
    alone = f"{path('planned')}/providers/Microsoft.Resources/tags/default"
    tagged = {"operation": "Merge", "properties": {"tags": {"goldsmith.schedule": "0 0 1 1 *"}}}
    assert arm("PATCH", alone, "2024-11-01", json=tagged).status_code == 200
    assert schedule(arm, "planned")["nextRunTime"].endswith("-01-01T00:00:00Z")
    finished(arm, arm("PATCH", path("planned"), json={"tags": {}}))
    assert arm("GET", f"{path('planned')}/schedules/default").status_code == 404
    assert arm("GET", f"{path('planned')}/schedules").json()["value"] == []


def test_schedule_starts_a_run_when_due(arm, service):
    until(lambda: runs(arm, "every-minute"), "its time comes", A_MINUTE_AND_MORE_S)
    cause = runs(arm, "every-minute")[-1]["cause"]
    assert cause["kind"] == "schedule" and cause["due"].endswith(":00Z")
    shown = schedule(arm, "every-minute")
    assert shown["lastRun"]["runId"] and shown["nextRunTime"] > shown["lastRun"]["due"]

    def patched():
        """Removes the tags between runs, of which one starts every minute."""
        patch = arm("PATCH", path("every-minute"), json={"tags": {}})
        return patch if patch.status_code == 202 else None

    assert finished(arm, until(patched, "its tags can be changed"))["status"] == "Succeeded"
    assert arm("GET", f"{path('every-minute')}/schedules/default").status_code == 404


def test_missed_schedules_start_one_run_at_startup(ended):
    service, arm, due = ended
    # Waits until it is due, while no service runs.
    until(lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) >= due, "its time comes", A_MINUTE_AND_MORE_S)
    service.start()
    until(lambda: runs(arm, "missed"))
    cause = runs(arm, "missed")[-1]["cause"]
    assert cause["kind"] == "schedule" and cause["due"] >= due
    shown = schedule(arm, "missed")
    assert shown["nextRunTime"] > cause["due"], shown


def test_command_line_shows_cause_and_next_time(arm, service):
    goldsmith = signed_in(service, service.folder, secret_by_environment=True)
    created(arm, "told", {**body(service), "tags": {"goldsmith.schedule": "0 0 1 1 *"}})
    ran(arm, "told")
    assert goldsmith("run", "ls", "rg/told").splitlines()[1].split()[-1] == "manual"
    assert "trigger new (0.0." in goldsmith("run", "ls", "rg/app")
    planned = goldsmith("run", "schedule", "rg/told")
    assert "0 0 1 1 * (UTC)" in planned and "-01-01T00:00:00Z" in planned
    assert "goldsmith.schedule" in goldsmith("run", "schedule", "rg/app")
