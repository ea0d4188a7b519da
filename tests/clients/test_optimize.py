"""optimize: its phase, its figures in the result of a run, the pinned script of the workload."""

import hashlib
import json

import pytest

from resource_manager import asks, create, path, properties, ran, run_ids, runs
from templates import body


@pytest.fixture(scope="module")
def arm(arm, service):
    """A function for requests with the newest api-version."""
    return asks(service, "2025-10-01")


def result(arm, name):
    """Runs the template and returns the run and its log."""
    assert ran(arm, name)["status"] == "Succeeded"
    log = arm("GET", f"{path(name)}/runs/{run_ids(arm, name)[0]}/log").text
    return runs(arm, name)[0], log


def test_optimization_figures_are_in_the_run_result(arm, service):
    on, off = {"state": "Enabled"}, {"state": "Disabled"}
    assert create(arm, "boot", body(service, optimize={"vmBoot": on}))["status"] == "Succeeded"
    run, log = result(arm, "boot")
    figures = run["optimization"]
    for when in ("Before", "After"):
        assert figures[f"bootSeconds{when}"] > 0 and figures[f"bytes{when}"] > 0, figures
    assert "==> optimize" in log and "==> boot before and after" in log

    create(arm, "plain", body(service, optimize={"vmBoot": off}))
    run, log = result(arm, "plain")
    assert "optimization" not in run and "==> optimize" not in log


def test_optimization_figures_survive_a_restart(arm, service):
    shown = arm("GET", f"{path('boot')}/runs").json()["value"]
    service.stop()
    service.start()
    assert arm("GET", f"{path('boot')}/runs").json()["value"] == shown


def test_workload_script_is_pinned(arm, service, scripts):
    url, files = scripts
    files["/warm.sh"] = b"echo warming up\n"
    workload = {"state": "Enabled", "scriptUri": f"{url}/warm.sh"}
    create(arm, "warm", body(service, optimize={"workload": workload}))
    shown = properties(arm, "warm")["optimize"]["workload"]
    assert shown["sha256Checksum"] == hashlib.sha256(files["/warm.sh"]).hexdigest()
    files["/warm.sh"] = b"exit 7\n"
    assert "PACKER OUT warming up" in result(arm, "warm")[1]


def test_failed_workload_is_reported(arm, service, scripts):
    url, files = scripts
    files["/cold.sh"] = b"exit 7\n"
    workload = {"state": "Enabled", "scriptUri": f"{url}/cold.sh"}
    create(arm, "cold", body(service, optimize={"workload": workload}))
    operation = ran(arm, "cold")
    assert operation["error"]["code"] == "OptimizationFailed", operation
    assert "the workload failed" in operation["error"]["message"]


@pytest.mark.parametrize("optimize, field", [
    ({"workload": {"state": "Enabled"}}, "optimize.workload.scriptUri"),
    ({"workload": {"state": "Enabled", "scriptUri": "warm.sh"}}, "optimize.workload.scriptUri"),
    ({"workload": {"state": "On"}}, "optimize.workload.state"),
    ({"vmBoot": {"state": "enabled"}}, "optimize.vmBoot.state"),
])
def test_bad_optimize_field_is_rejected_at_submission(arm, service, optimize, field):
    answer = arm("PUT", path("wrong"), json=body(service, optimize=optimize))
    assert answer.status_code == 400
    assert field in json.dumps(answer.json()["error"]), answer.text
