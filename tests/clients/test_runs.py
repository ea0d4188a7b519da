"""Runs from a client's view: states, one at a time, cancel, deadline, and URLs after the template's deletion."""

import random
import time

import pytest
import requests

from resource_manager import (
    AIB, asks_in_group, begun, cancel, code, created, delete, finished, last_run, over, path, path_of, properties,
    run_ids,
)
from service import prepared, running, until
from templates import FOREVER, body, shell, vhd

# In order; a run is in some of these states only for a moment.
STATES = ["Queued", "Building", "Customizing", "Distributing"]
SOON_S = 30
CREATED_WITHIN_S = 1
TRIES = 5
DEADLINE_AND_MORE_S = 120


@pytest.fixture(scope="module", autouse=True)
def late(tmp_path_factory):
    """A service with a run that must end within a minute, during the other tests."""
    with running(prepared(tmp_path_factory.mktemp("late"))) as service:
        ask = asks_in_group(service)
        created(ask, "late", body(service, customize=FOREVER, buildTimeoutInMinutes=1))
        begun(ask, "late")
        yield ask


# conformance: 135
def test_template_without_remote_scripts_is_provisioned_within_a_second(arm, service):
    def took(number):
        begin = time.monotonic()
        created(arm, f"quick-{number}", body(service))
        return time.monotonic() - begin

    # Other work on the machine may delay any one of them.
    assert any(took(number) < CREATED_WITHIN_S for number in range(TRIES))


def walk(arm):
    """The states of `second` while it waits for `first`, and after `first` is canceled."""
    first = begun(arm, "first")
    until(lambda: last_run(arm, "first").get("runSubState") == "Customizing")
    second = begun(arm, "second")
    seen = [last_run(arm, "second").get("runSubState")]
    cancel(arm, "first", first)

    def at_its_end():
        status = last_run(arm, "second")
        if status["runState"] != "Running":
            return status
        assert status["endTime"] == "0001-01-01T00:00:00Z"
        if status["runSubState"] != seen[-1]:
            seen.append(status["runSubState"])

    status = until(at_its_end)
    assert finished(arm, second)["status"] == "Succeeded"
    assert seen == [state for state in STATES if state in seen], seen
    assert status["runState"] == "Succeeded" and status["message"] == "" and "runSubState" not in status
    assert status["endTime"] > status["startTime"]
    return seen


# conformance: 93, 94
def test_run_passes_through_its_states(arm, service):
    # On hosts below 32 processors and 128 GiB it runs alone, and another run waits.
    made = body(service, customize=FOREVER, vmProfile={"vmSize": "Standard_D16_v3"})
    created(arm, "first", made)
    made["properties"]["customize"] = [shell("echo hello")] * 20
    made["properties"]["distribute"] += [vhd()]
    created(arm, "second", made)
    # A short state may pass between two polls.
    assert any({"Queued", "Customizing", "Distributing"} <= set(walk(arm)) for _ in range(TRIES))


# conformance: 133
def test_requests_of_the_github_action_succeed(arm, service):
    version, lower = "2020-02-14", f"resourceGroups/rg/{AIB.lower()}/action"
    put = arm("PUT", lower, version, json=body(service))
    assert put.status_code == 201, put.text
    finished(arm, put)
    run = arm("POST", f"{lower}/run", version)
    assert run.status_code == 202
    assert finished(arm, run)["status"] == "Succeeded"
    output = arm("GET", f"{lower}/runOutputs/image", version)
    assert output.status_code == 200 and output.json()["properties"]["artifactId"]
    assert arm("DELETE", lower, version).status_code == 202


# conformance: 92
def test_run_urls_work_after_the_template_is_deleted(arm, service):
    created(arm, "brief", body(service))
    run = begun(arm, "brief")
    assert finished(arm, run)["status"] == "Succeeded"
    assert delete(arm, "brief")["status"] == "Succeeded"
    for header in ["Location", "Azure-AsyncOperation"]:
        answer = arm("GET", path_of(run.headers[header]), None)
        assert answer.status_code == 200 and answer.json()["status"] == "Succeeded"


# conformance: 96, 138
def test_run_with_a_hanging_guest_is_canceled_soon(arm, service):
    created(arm, "hanging", body(service, customize=FOREVER))
    run = begun(arm, "hanging")
    until(lambda: last_run(arm, "hanging").get("runSubState") == "Customizing")
    begin = time.monotonic()
    assert arm("POST", f"{path('hanging')}/cancel").status_code == 204
    assert last_run(arm, "hanging")["runState"] in ("Canceling", "Canceled")
    assert finished(arm, run)["status"] == "Canceled"
    assert time.monotonic() - begin < SOON_S
    assert last_run(arm, "hanging")["runState"] == "Canceled"


# conformance: 136
def test_log_is_readable_during_the_run(arm, service):
    created(arm, "talking", body(service, customize=[shell("echo so far so good"), *FOREVER]))
    begun(arm, "talking")
    id = run_ids(arm, "talking")[0]

    def log():
        try:
            return arm("GET", f"{path('talking')}/runs/{id}/log").text
        except requests.RequestException:
            return ""

    until(lambda: "PACKER OUT so far so good" in log())
    assert last_run(arm, "talking")["runState"] == "Running"
    assert arm("POST", f"{path('talking')}/cancel").status_code == 204
    over(arm, "talking", 1)


# conformance: 98
def test_second_cancel_is_rejected_during_canceling(arm, service):
    created(arm, "twice", body(service, customize=FOREVER))

    def refused():
        run = begun(arm, "twice")
        until(lambda: last_run(arm, "twice").get("runSubState") == "Customizing")
        assert arm("POST", f"{path('twice')}/cancel").status_code == 204
        again = arm("POST", f"{path('twice')}/cancel")
        assert finished(arm, run)["status"] == "Canceled"
        # The run may have ended by then.
        return None if again.status_code == 204 else (again.status_code, code(again), again.text)

    status_code, said, text = until(refused)
    assert (status_code, said) == (409, "OperationNotAllowed")
    assert "runState: 'canceling'" in text


# conformance: 100
def test_rejected_deletion_leaves_the_template_unchanged(arm, service):
    created(arm, "unharmed", body(service, customize=FOREVER))
    run = begun(arm, "unharmed")
    refused = arm("DELETE", path("unharmed"))
    assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed")
    assert "runState: 'running'" in refused.text
    assert properties(arm, "unharmed")["provisioningState"] == "Succeeded"
    assert last_run(arm, "unharmed")["runState"] == "Running"
    cancel(arm, "unharmed", run)
    assert delete(arm, "unharmed")["status"] == "Succeeded"


# conformance: 38
def test_auto_run_starts_one_run_even_after_kill_9(arm, service):
    made = body(service, autoRun={"state": "Enabled"})
    chance = random.Random(38)
    for number in range(3):
        put = arm("PUT", path(f"auto-{number}"), json=made)
        assert put.status_code == 201
        time.sleep(chance.uniform(0, 0.05))  # the moment of death is the point of the test
        service.kill()
        service.start()
        assert finished(arm, put)["status"] == "Succeeded"
        assert over(arm, f"auto-{number}", 1)["cause"] == {"kind": "autoRun"}


# conformance: 99
def test_run_beyond_its_timeout_fails(late):
    until(lambda: last_run(late, "late")["runState"] != "Running", "it is over", DEADLINE_AND_MORE_S)
    status = last_run(late, "late")
    assert status["runState"] == "Failed", status
    assert status["message"].startswith("Failed while waiting for packerizer: Timeout waiting")
    assert "context deadline exceeded" in status["message"]
