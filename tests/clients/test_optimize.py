"""optimize: its phase, its figures in the result of a run, the pinned script of the workload."""

import hashlib
import json

import pytest

import templates
from service import Service
from templates import body
from test_protocol import AIB, finished, fixture_arm
from test_template_rules import scripts  # noqa: F401 (a fixture)

VERSION = "2025-10-01"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimize")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def asks(service):
    """After a restart there may be another port and another token."""
    session = service.session()

    def ask(method, where, version=VERSION, **more):
        if not where.startswith("/subscriptions/"):
            where = f"/subscriptions/{service.subscription}/{where}"
        mark = "&" if "?" in where else "?"
        query = f"{mark}api-version={version}" if version else ""
        return session.request(method, f"{service.url}{where}{query}", timeout=30, **more)

    return ask


def create(arm, name, made):
    return finished(arm, arm("PUT", path(name), VERSION, json=made))


def result(arm, name):
    """Runs it; what `runs` says of it."""
    assert finished(arm, arm("POST", f"{path(name)}/run", VERSION))["status"] == "Succeeded"
    run = arm("GET", f"{path(name)}/runs", VERSION).json()["value"][0]
    return run, arm("GET", f"{path(name)}/runs/{run['name']}/log", VERSION).text


def test_what_an_optimization_brought_is_in_the_runs_result(arm, service):
    on, off = {"state": "Enabled"}, {"state": "Disabled"}
    assert create(arm, "boot", body(service, optimize={"vmBoot": on}))["status"] == "Succeeded"
    run, log = result(arm, "boot")
    figures = run["properties"]["optimization"]
    for when in ("Before", "After"):
        assert figures[f"bootSeconds{when}"] > 0 and figures[f"bytes{when}"] > 0, figures
    assert "==> optimize" in log and "==> boot before and after" in log

    create(arm, "plain", body(service, optimize={"vmBoot": off}))
    run, log = result(arm, "plain")
    assert "optimization" not in run["properties"] and "==> optimize" not in log


def test_the_figures_outlive_the_service(arm, service):
    shown = arm("GET", f"{path('boot')}/runs", VERSION).json()["value"]
    service.stop()
    service.start()
    again = asks(service)("GET", f"{path('boot')}/runs", VERSION).json()["value"]
    assert again == shown


def test_the_script_of_a_workload_is_pinned(service, scripts):  # noqa: F811
    arm = asks(service)
    url, files = scripts
    files["/warm.sh"] = b"echo warming up\n"
    workload = {"state": "Enabled", "scriptUri": f"{url}/warm.sh"}
    create(arm, "warm", body(service, optimize={"workload": workload}))
    shown = arm("GET", path("warm"), VERSION).json()["properties"]["optimize"]["workload"]
    assert shown["sha256Checksum"] == hashlib.sha256(files["/warm.sh"]).hexdigest()
    files["/warm.sh"] = b"exit 7\n"
    assert "PACKER OUT warming up" in result(arm, "warm")[1]


def test_a_workload_that_fails_is_told(service, scripts):  # noqa: F811
    arm = asks(service)
    url, files = scripts
    files["/cold.sh"] = b"exit 7\n"
    workload = {"state": "Enabled", "scriptUri": f"{url}/cold.sh"}
    create(arm, "cold", body(service, optimize={"workload": workload}))
    operation = finished(arm, arm("POST", f"{path('cold')}/run", VERSION))
    assert operation["error"]["code"] == "OptimizationFailed", operation
    assert "the workload failed" in operation["error"]["message"]


@pytest.mark.parametrize("optimize, field", [
    ({"workload": {"state": "Enabled"}}, "optimize.workload.scriptUri"),
    ({"workload": {"state": "Enabled", "scriptUri": "warm.sh"}}, "optimize.workload.scriptUri"),
    ({"workload": {"state": "On"}}, "optimize.workload.state"),
    ({"vmBoot": {"state": "enabled"}}, "optimize.vmBoot.state"),
])
def test_what_is_wrong_is_told_at_submission(service, optimize, field):
    answer = asks(service)("PUT", path("wrong"), VERSION, json=body(service, optimize=optimize))
    assert answer.status_code == 400
    assert field in json.dumps(answer.json()["error"]), answer.text
