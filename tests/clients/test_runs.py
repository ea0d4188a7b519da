"""Runs as clients see them: their states, one at a time, cancel, deadline, and what is left when all is gone."""

import random
import time

import pytest
import requests

import templates
from service import Service, until
from templates import body
from test_protocol import AIB, code, finished, fixture_arm

# From first to last; a run shows some of them for a moment only.
STATES = ["Queued", "Building", "Customizing", "Distributing"]
FOREVER = [{"type": "Shell", "inline": ["sleep forever"]}]
SOON_S = 10
CREATED_WITHIN_S = 1
DEADLINE_AND_MORE_S = 120


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


@pytest.fixture(scope="module", autouse=True)
def late(tmp_path_factory):
    """A service whose one run is to be over in a minute, while the other tests go on."""
    folder = tmp_path_factory.mktemp("late")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    ask = fixture_arm(service)
    made = {**body(service)}
    made["properties"].update(customize=FOREVER, buildTimeoutInMinutes=1)
    create(ask, "late", made)
    ask("POST", f"{path('late')}/run")
    yield ask
    service.stop()


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def create(arm, name, made):
    done = finished(arm, arm("PUT", path(name), json=made))
    assert done["status"] == "Succeeded", done


def runs(arm, name):
    """Newest first."""
    return [run["properties"] for run in arm("GET", f"{path(name)}/runs").json()["value"]]


def last_run(arm, name):
    return arm("GET", path(name)).json()["properties"]["lastRunStatus"]


def over(arm, name, count):
    """Until the template has so many runs and the newest is over; the newest."""
    def is_over():
        found = runs(arm, name)
        assert len(found) <= count, found
        return found[0] if len(found) == count and "endTime" in found[0] else None
    return until(is_over)


# conformance: 135
def test_a_template_without_remote_scripts_is_created_within_a_second(arm, service):
    begin = time.monotonic()
    create(arm, "quick", body(service))
    assert time.monotonic() - begin < CREATED_WITHIN_S


# conformance: 93, 94
def test_a_run_walks_through_its_states(arm, service):
    # On any host but one of 32 processors and 128 GiB it runs alone, and another one waits.
    large = {"vmSize": "Standard_D16_v3"}
    made = body(service)
    made["properties"].update(customize=FOREVER, vmProfile=large)
    create(arm, "first", made)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["echo hello"]}] * 20
    made["properties"]["distribute"] += [{"type": "VHD", "runOutputName": "vhd"}]
    create(arm, "second", made)
    first = arm("POST", f"{path('first')}/run")
    until(lambda: last_run(arm, "first").get("runSubState") == "Customizing")
    second = arm("POST", f"{path('second')}/run")
    seen = [last_run(arm, "second").get("runSubState")]
    assert arm("POST", f"{path('first')}/cancel").status_code == 204
    assert finished(arm, first)["status"] == "Canceled"
    while (status := last_run(arm, "second"))["runState"] == "Running":
        assert status["endTime"] == "0001-01-01T00:00:00Z"
        if status["runSubState"] != seen[-1]:
            seen.append(status["runSubState"])
    assert finished(arm, second)["status"] == "Succeeded"
    assert seen == [state for state in STATES if state in seen], seen
    assert {"Queued", "Customizing", "Distributing"} <= set(seen), seen
    assert status["runState"] == "Succeeded" and status["message"] == "" and "runSubState" not in status
    assert status["endTime"] > status["startTime"]


# conformance: 133
def test_the_github_action_finds_what_it_asks_for(arm, service):
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
def test_a_runs_urls_answer_when_the_template_is_gone(arm, service):
    create(arm, "brief", body(service))
    run = arm("POST", f"{path('brief')}/run")
    assert finished(arm, run)["status"] == "Succeeded"
    assert finished(arm, arm("DELETE", path("brief")))["status"] == "Succeeded"
    for header in ["Location", "Azure-AsyncOperation"]:
        url = "/subscriptions/" + run.headers[header].split("/subscriptions/")[1]
        answer = arm("GET", url, None)
        assert answer.status_code == 200 and answer.json()["status"] == "Succeeded"


# conformance: 96, 138
def test_a_guest_that_hangs_is_canceled_soon(arm, service):
    made = body(service)
    made["properties"]["customize"] = FOREVER
    create(arm, "hanging", made)
    run = arm("POST", f"{path('hanging')}/run")
    until(lambda: last_run(arm, "hanging").get("runSubState") == "Customizing")
    begin = time.monotonic()
    assert arm("POST", f"{path('hanging')}/cancel").status_code == 204
    assert last_run(arm, "hanging")["runState"] in ("Canceling", "Canceled")
    assert finished(arm, run)["status"] == "Canceled"
    assert time.monotonic() - begin < SOON_S
    assert last_run(arm, "hanging")["runState"] == "Canceled"


# conformance: 136
def test_a_log_can_be_read_while_the_run_goes_on(arm, service):
    made = body(service)
    made["properties"]["customize"] = [
        {"type": "Shell", "inline": ["echo so far so good"]}, *FOREVER,
    ]
    create(arm, "talking", made)
    arm("POST", f"{path('talking')}/run")
    id = arm("GET", f"{path('talking')}/runs").json()["value"][0]["name"]

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
def test_a_second_cancel_is_refused_while_the_run_is_canceling(arm, service):
    made = body(service)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["sleep forever"]}]
    create(arm, "twice", made)

    def refused():
        run = arm("POST", f"{path('twice')}/run")
        until(lambda: runs(arm, "twice")[0].get("runSubState") == "Customizing")
        assert arm("POST", f"{path('twice')}/cancel").status_code == 204
        again = arm("POST", f"{path('twice')}/cancel")
        assert finished(arm, run)["status"] == "Canceled"
        # The run may have been over by then.
        return None if again.status_code == 204 else (again.status_code, code(again), again.text)

    status_code, said, text = until(refused)
    assert (status_code, said) == (409, "OperationNotAllowed")
    assert "runState: 'canceling'" in text


# conformance: 100
def test_a_refused_deletion_leaves_the_template_unharmed(arm, service):
    made = body(service)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["sleep forever"]}]
    create(arm, "unharmed", made)
    run = arm("POST", f"{path('unharmed')}/run")
    refused = arm("DELETE", path("unharmed"))
    assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed")
    assert "runState: 'running'" in refused.text
    properties = arm("GET", path("unharmed")).json()["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["lastRunStatus"]["runState"] == "Running"
    assert arm("POST", f"{path('unharmed')}/cancel").status_code == 204
    assert finished(arm, run)["status"] == "Canceled"
    assert finished(arm, arm("DELETE", path("unharmed")))["status"] == "Succeeded"


# conformance: 38
def test_auto_run_is_one_run_also_after_kill_9(arm, service):
    made = body(service)
    made["properties"]["autoRun"] = {"state": "Enabled"}
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
def test_a_run_that_exceeds_its_time_fails(late):
    until(lambda: last_run(late, "late")["runState"] != "Running", DEADLINE_AND_MORE_S)
    status = last_run(late, "late")
    assert status["runState"] == "Failed", status
    assert status["message"].startswith("Failed while waiting for packerizer: Timeout waiting")
    assert "context deadline exceeded" in status["message"]
