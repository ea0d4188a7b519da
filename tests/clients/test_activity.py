"""The activity log by the unmodified az command line, and as files; also after a service that was killed."""

import json

import pytest

import templates
from azure_cli import Az, administrator
from service import until

GROUP = "Rg-Activity"
NAMESPACE = "Microsoft.VirtualMachineImages/imageTemplates"
RUN = f"{NAMESPACE}/run/action"


@pytest.fixture(scope="module")
def az(service, folder):
    return administrator(service, folder)


@pytest.fixture(scope="module")
def group(az):
    """A group with a template. Returns the group's id."""
    group = az("group", "create", "-n", GROUP, "-l", "westus2")["id"]
    identity = az("identity", "create", "-g", GROUP, "-n", "builder")
    az("role", "assignment", "create", "--assignee", identity["clientId"], "--role", "Contributor", "--scope", group)
    az("image", "builder", "create", "-g", GROUP, "-n", "web", "--image-source", templates.URN,
       "--managed-image-destinations", "web-image=westus2", "--identity", "builder")
    return group


def log(az, *words):
    return az("monitor", "activity-log", "list", "--max-events", "500", *words)


def short(events):
    """Operation and status, oldest first."""
    return [(one["operationName"]["value"], one["status"]["value"]) for one in reversed(events)]


def lines(service):
    """The events in the files of the log."""
    files = sorted((service.data / "server" / "activity").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_log_is_listed_by_group_resource_correlation_time_and_caller(az, service, group):
    template = f"{group}/providers/{NAMESPACE}/web"
    made = [one for one in short(log(az, "--resource-id", template)) if one[0] == f"{NAMESPACE}/write"]
    assert made == [(f"{NAMESPACE}/write", status) for status in ("Started", "Accepted", "Succeeded")]

    events = log(az, "-g", GROUP)
    assert {one["resourceGroupName"] for one in events} == {GROUP}
    times = [one["eventTimestamp"] for one in events]
    assert times == sorted(times, reverse=True)
    first = events[-1]
    assert first["operationName"]["value"] == "Microsoft.Resources/subscriptions/resourceGroups/write"
    assert first["caller"] == service.credentials["clientId"]
    assert first["httpRequest"]["clientIpAddress"] == "127.0.0.1"
    assert first["claims"]["appid"] == service.credentials["clientId"]

    same = log(az, "--correlation-id", first["correlationId"])
    assert {one["correlationId"] for one in same} == {first["correlationId"]}
    assert len(same) == 2
    assert log(az, "--caller", service.credentials["clientId"], "--offset", "1h")
    assert log(az, "--caller", "somebody") == []
    assert log(az, "--start-time", "2020-01-01", "--end-time", "2020-01-02") == []
    assert log(az, "--namespace", "Microsoft.ManagedIdentity")
    assert len(log(az, "--max-events", "1")) == 1
    selected = log(az, "-g", GROUP, "--select", "caller", "status")[0]
    assert selected["caller"] and selected["status"]["value"]
    assert az("monitor", "activity-log", "list-categories")[0]["value"] == "Administrative"


def test_refused_attempt_is_recorded_and_only_readable_events_are_shown(az, service, folder, group):
    made = az("ad", "sp", "create-for-rbac", "-n", "log-reader", "--role", "Reader", "--scopes", group)
    az("group", "create", "-n", "Rg-Hidden", "-l", "westus2")
    home = folder / "log-reader"
    home.mkdir()
    reader = Az(service, home).login(made["appId"], made["password"])
    refused = reader("image", "builder", "run", "-g", GROUP, "-n", "web", code=1)
    assert "AuthorizationFailed" in refused
    seen = log(reader)
    assert {one["resourceGroupName"] for one in seen} == {GROUP}
    failed = log(az, "--caller", made["appId"], "--status", "Failed")
    assert short(failed) == [(RUN, "Failed")]
    assert failed[0]["subStatus"]["value"] == "Forbidden"
    # Secrets are nowhere in the log.
    assert made["password"] not in json.dumps(log(az)) + json.dumps(lines(service))


def test_changes_of_role_assignments_are_listed(az, service, group):
    made = az("ad", "sp", "create-for-rbac", "-n", "log-changes")
    assigned = az("role", "assignment", "create", "--assignee", made["appId"], "--role", "Reader", "--scope", group)
    az("role", "assignment", "delete", "--ids", assigned["id"], parse=False)

    def own():
        every = az("role", "assignment", "list-changelogs")
        return [one for one in every if one["principalId"] == assigned["principalId"]]

    # az asks for whole seconds, so the last event comes a moment later.
    until(lambda: len(own()) == 2, "both changes are in the list")
    assert sorted((one["action"], one["roleName"], one["scopeName"]) for one in own()) == [
        ("Granted", "Reader", GROUP), ("Revoked", "Reader", GROUP),
    ]
    assert {one["caller"] for one in own()} == {service.credentials["clientId"]}


def test_run_that_outlives_its_service_succeeds_once(az, service, group):
    az("image", "builder", "run", "-g", GROUP, "-n", "web", "--no-wait", parse=False)
    service.kill()
    service.start()
    template = f"{group}/providers/{NAMESPACE}/web"

    def statuses():
        return [status for name, status in short(log(az, "--resource-id", template)) if name == RUN]

    until(lambda: statuses()[-1:] == ["Succeeded"], "the run has succeeded")
    # The reader's refused attempt comes first.
    assert statuses() == ["Failed", "Started", "Accepted", "Succeeded"]


def test_files_have_every_event_once(az, service):
    def ids(events):
        return sorted(one["eventDataId"] for one in events)

    def in_files():
        return [one for one in lines(service) if one.get("subscriptionId") == service.subscription]

    listed = ids(log(az))
    until(lambda: ids(in_files()) == listed, "the files have what the log has")
    service.stop()
    service.start()
    assert ids(in_files()) == ids(log(az))
