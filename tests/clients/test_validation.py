"""Validators and errorHandling: states, messages, logs, and machines that are kept."""

import json
import os
import subprocess
import time

import pytest

import templates
from service import GOLDSMITH, Service
from templates import body
from test_protocol import AIB, finished, fixture_arm
from test_template_rules import scripts  # noqa: F401 (a fixture)

SOON_S = 30


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def shell(*inline, **more):
    return {"type": "Shell", "inline": list(inline), **more}


def validated(service, name, *validators, on_error=None, **how):
    """A template that leaves the image `name`."""
    made = body(service, validate={"inVMValidations": list(validators), **how})
    made["properties"]["distribute"] = [templates.managed(service.subscription, name)]
    if on_error:
        made["properties"]["errorHandling"] = on_error
    return made


def create(arm, name, made):
    return finished(arm, arm("PUT", path(name), json=made))


def run(arm, name):
    """Runs it to its end; the operation, and the status of the run."""
    operation = finished(arm, arm("POST", f"{path(name)}/run"))
    return operation, arm("GET", path(name)).json()["properties"]["lastRunStatus"]


def outputs(arm, name):
    return [o["name"] for o in arm("GET", f"{path(name)}/runOutputs").json()["value"]]


def image(arm, name):
    return arm("GET", f"resourceGroups/rg/providers/Microsoft.Compute/images/{name}", "2024-07-01")


def logs(arm, name):
    """The customization log and the validation log of the newest run."""
    newest = arm("GET", f"{path(name)}/runs").json()["value"][0]["name"]
    of = f"{path(name)}/runs/{newest}"
    return newest, arm("GET", f"{of}/log"), arm("GET", f"{of}/logs/validation.log")


def goldsmith(service, *words):
    command = [GOLDSMITH, "--output", "json", "--data-dir", str(service.data), "--cache-dir",
               str(service.cache), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def held(service):
    return {row["run"] for row in goldsmith(service, "ledger", "ls")["rows"]}


def until(what, done, within_s=SOON_S):
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not in {within_s} s: {what}"
        time.sleep(0.1)


# conformance: 102
def test_validators_that_pass_are_logged_apart(arm, service):
    made = validated(service, "fine", shell("echo all is well", name="look"), shell("echo twice"))
    assert create(arm, "fine", made)["status"] == "Succeeded"
    operation, status = run(arm, "fine")
    assert (operation["status"], status["runState"]) == ("Succeeded", "Succeeded"), status
    assert outputs(arm, "fine") == ["image"]
    newest, log, validation = logs(arm, "fine")
    assert f"[{newest}] PACKER OUT hello\n" in log.text
    assert "all is well" not in log.text
    for line in ("(telemetry) Starting provisioner look", "all is well", "(telemetry) ending look",
                 "twice", "(telemetry) Finalizing."):
        assert f"[{newest}] PACKER OUT {line}\n" in validation.text
    assert "hello" not in validation.text


def test_a_run_without_validators_has_no_validation_log(arm, service):
    create(arm, "plain", body(service))
    run(arm, "plain")
    _, log, validation = logs(arm, "plain")
    assert log.status_code == 200
    assert validation.status_code == 404
    assert validation.json()["error"]["code"] == "BlobNotFound"


def test_goldsmith_shows_the_validation_log(arm, service, tmp_path):
    create(arm, "read", validated(service, "read", shell("echo from a validator")))
    run(arm, "read")
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
           "XDG_DATA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}

    def call(*words):
        done = subprocess.run([GOLDSMITH, *words], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    signed = service.credentials
    call("login", "--server", service.url, "--tenant", service.tenant, "--client-id",
         signed["clientId"], "--client-secret", signed["clientSecret"], "--ca", service.ca)
    assert "PACKER OUT from a validator" in call("run", "logs", "rg/read", "--validation")
    assert "from a validator" not in call("run", "logs", "rg/read")


# conformance: 68, 69, 70, 102
def test_a_failing_validator_fails_the_run_and_nothing_is_distributed(arm, service):
    steps = [shell("echo first"), shell("echo it is not so", "exit 3", name="strict"), shell("echo never")]
    create(arm, "wrong", validated(service, "wrong", *steps))
    operation, status = run(arm, "wrong")
    assert operation["status"] == "Failed"
    assert operation["error"]["code"] == "ValidatorFailed"
    assert status["runState"] == "Failed"
    message = status["message"]
    assert '"strict" failed' in message and "validate[1]" in message, message
    assert outputs(arm, "wrong") == []
    assert image(arm, "wrong").status_code == 404
    _, log, validation = logs(arm, "wrong")
    assert "it is not so" in validation.text and "never" not in validation.text
    assert "(ValidatorFailed)" in validation.text and "(ValidatorFailed)" in log.text
    url = message.split("Validation log location: ")[1].split(". ")[0]
    assert service.session().get(url, timeout=30).text == validation.text
    assert "Image Build log location: " in message


# conformance: 68
def test_what_failed_is_distributed_where_the_template_says_so_and_the_run_is_failed(arm, service):
    how = {"continueDistributeOnFailure": True}
    create(arm, "anyway", validated(service, "anyway", shell("exit 3"), **how))
    operation, status = run(arm, "anyway")
    assert operation["error"]["code"] == "ValidatorFailed"
    assert status["runState"] == "Failed", status
    assert "published: image " in status["message"], status
    assert outputs(arm, "anyway") == ["image"]
    assert image(arm, "anyway").json()["properties"]["provisioningState"] == "Succeeded"


# conformance: 71
def test_only_the_source_is_validated(arm, service):
    made = validated(service, "source", shell("echo source"), sourceValidationOnly=True)
    made["properties"]["customize"] = [shell("exit 1")]
    prefix = f"/subscriptions/{service.subscription}/resourceGroups/rg/providers/Microsoft.Compute"
    made["properties"]["distribute"].append({
        "type": "SharedImage", "runOutputName": "version", "replicationRegions": ["westus2"],
        "galleryImageId": f"{prefix}/galleries/none/images/none",
    })
    assert create(arm, "source", made)["status"] == "Succeeded"
    operation, status = run(arm, "source")
    assert (operation["status"], status["runState"]) == ("Succeeded", "Succeeded"), status
    assert outputs(arm, "source") == []
    assert image(arm, "source").status_code == 404
    assert "PACKER OUT source" in logs(arm, "source")[2].text
    failing = validated(service, "source", shell("exit 1"), sourceValidationOnly=True)
    create(arm, "source-wrong", failing)
    operation, status = run(arm, "source-wrong")
    assert operation["error"]["code"] == "ValidatorFailed", operation


# conformance: 93
def test_a_run_says_that_it_validates_and_can_be_canceled_there(arm, service):
    create(arm, "slow", validated(service, "slow", shell("sleep forever")))
    started = arm("POST", f"{path('slow')}/run")

    def state():
        return arm("GET", path("slow")).json()["properties"]["lastRunStatus"]

    until("Validating", lambda: state().get("runSubState") == "Validating")
    assert state()["runState"] == "Running"
    assert arm("POST", f"{path('slow')}/cancel").status_code == 204
    assert finished(arm, started)["status"] == "Canceled"
    assert state()["runState"] == "Canceled"
    assert outputs(arm, "slow") == []
    assert held(service) == set()


def test_a_validator_for_windows_does_not_go_with_linux(arm, service):
    made = validated(service, "windows", shell("true"), {"type": "PowerShell", "inline": ["exit 0"]})
    assert create(arm, "windows", made)["status"] == "Failed"
    error = arm("GET", path("windows")).json()["properties"]["provisioningError"]
    assert error["provisioningErrorCode"] == "UnsupportedValidatorType", error
    assert "properties.validate.inVMValidations[1]" in error["message"], error


# conformance: 72, 73
@pytest.mark.parametrize("validator, code", [
    ({"type": "WindowsRestart"}, "BadValidatorType"),
    ({"type": "Shell"}, "NoValidatorScript"),
])
def test_a_validator_that_is_none_is_refused(arm, service, validator, code):
    answer = arm("PUT", path("none"), json=validated(service, "none", validator))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert code in json.dumps(error), error
    assert "validate.inVMValidations[0]" in json.dumps(error), error


def test_the_script_of_a_validator_is_pinned(arm, service, scripts):  # noqa: F811
    url, files = scripts
    files["/check.sh"] = b"echo as it was\n"
    script = {"type": "Shell", "scriptUri": f"{url}/check.sh"}
    create(arm, "pinned", validated(service, "pinned", script))
    files["/check.sh"] = b"exit 7\n"
    _, status = run(arm, "pinned")
    assert status["runState"] == "Succeeded", status
    assert "PACKER OUT as it was" in logs(arm, "pinned")[2].text


# conformance: 104, 105
@pytest.mark.parametrize("which, customize, validator", [
    ("onCustomizerError", "exit 4", "true"),
    ("onValidationError", "true", "exit 4"),
])
def test_a_machine_is_kept_until_its_template_goes(arm, service, which, customize, validator):
    name = which.lower()
    for how in ("abort", "cleanup"):
        made = validated(service, name, shell(validator), on_error={which: how})
        made["properties"]["customize"] = [shell(customize)]
        create(arm, name, made)
        _, status = run(arm, name)
        assert status["runState"] == "Failed"
        newest = logs(arm, name)[0]
        says = f"`goldsmith shell {newest}`" in status["message"] and "kept until" in status["message"]
        if how == "abort":
            assert says and held(service) == {newest}, status
        else:
            assert not says and held(service) == set(), status
        finished(arm, arm("DELETE", path(name)))
        until("the machine's end", lambda: held(service) == set())


def test_a_kept_machine_outlives_the_service_and_ends_by_itself(tmp_path):
    templates.catalogue(tmp_path / "data", tmp_path)
    service = Service(tmp_path, flags=["--keep-for", "10s"]).start()
    arm = fixture_arm(service)
    made = validated(service, "kept", shell("exit 1"), on_error={"onValidationError": "abort"})
    create(arm, "kept", made)
    run(arm, "kept")
    newest = logs(arm, "kept")[0]
    assert held(service) == {newest}
    service.kill()
    service.start()
    assert held(service) == {newest}
    # Nobody calls; `ledger ls` would end it itself.
    until("the machine's end", lambda: not list((service.data / "ledger").glob("*")))
    service.stop()
