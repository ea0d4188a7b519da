"""Validators and errorHandling: states, messages, logs, and retained machines."""

import json

import pytest

from command_line import call_beside, signed_in
from resource_manager import (
    COMPUTE, asks_in_group, begun, cancel, create, delete, last_run, path, properties, ran, run_ids,
)
from service import prepared, running, until
from templates import body, managed, shell


def validated(service, name, *validators, on_error=None, **how):
    """A template that creates the image `name`."""
    made = body(
        service, validate={"inVMValidations": list(validators), **how}, distribute=[managed(service.subscription, name)]
    )
    if on_error:
        made["properties"]["errorHandling"] = on_error
    return made


def run(arm, name):
    """Runs the template. Returns the operation and the status of the run."""
    return ran(arm, name), last_run(arm, name)


def outputs(arm, name):
    return [o["name"] for o in arm("GET", f"{path(name)}/runOutputs").json()["value"]]


def image(arm, name):
    return arm("GET", f"{COMPUTE}/images/{name}", "2024-07-01")


def logs(arm, name):
    """The customization log and the validation log of the newest run."""
    newest = run_ids(arm, name)[0]
    of = f"{path(name)}/runs/{newest}"
    return newest, arm("GET", f"{of}/log"), arm("GET", f"{of}/logs/validation.log")


def unreleased_runs(service):
    """The runs with resources to release."""
    ended, said = call_beside(service, "ledger", "ls")
    assert ended == 0, said
    return {row["run"] for row in said["rows"]}


# conformance: 102
def test_passed_validators_have_a_separate_log(arm, service):
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


def test_run_without_validators_has_no_validation_log(arm, service):
    create(arm, "plain", body(service))
    run(arm, "plain")
    _, log, validation = logs(arm, "plain")
    assert log.status_code == 200
    assert validation.status_code == 404
    assert validation.json()["error"]["code"] == "BlobNotFound"


def test_run_logs_command_prints_the_validation_log(arm, service, tmp_path):
    create(arm, "read", validated(service, "read", shell("echo from a validator")))
    run(arm, "read")
    goldsmith = signed_in(service, tmp_path)
    assert "PACKER OUT from a validator" in goldsmith("run", "logs", "rg/read", "--validation")
    assert "from a validator" not in goldsmith("run", "logs", "rg/read")


# conformance: 68, 69, 70, 102
def test_failed_validator_fails_the_run_without_distribution(arm, service):
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
    assert service.session().get(url).text == validation.text
    assert "Image Build log location: " in message


# conformance: 68
def test_failed_validation_is_distributed_on_request_and_the_run_fails(arm, service):
    how = {"continueDistributeOnFailure": True}
    create(arm, "anyway", validated(service, "anyway", shell("exit 3"), **how))
    operation, status = run(arm, "anyway")
    assert operation["error"]["code"] == "ValidatorFailed"
    assert status["runState"] == "Failed", status
    assert "published: image " in status["message"], status
    assert outputs(arm, "anyway") == ["image"]
    assert image(arm, "anyway").json()["properties"]["provisioningState"] == "Succeeded"


# conformance: 71
def test_source_only_validation_builds_nothing(arm, service):
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
def test_run_shows_validating_and_can_be_canceled(arm, service):
    create(arm, "slow", validated(service, "slow", shell("sleep forever")))
    started = begun(arm, "slow")
    until(lambda: last_run(arm, "slow").get("runSubState") == "Validating", "it validates")
    assert last_run(arm, "slow")["runState"] == "Running"
    cancel(arm, "slow", started)
    assert last_run(arm, "slow")["runState"] == "Canceled"
    assert outputs(arm, "slow") == []
    assert unreleased_runs(service) == set()


def test_windows_validator_on_linux_is_rejected(arm, service):
    made = validated(service, "windows", shell("true"), {"type": "PowerShell", "inline": ["exit 0"]})
    assert create(arm, "windows", made)["status"] == "Failed"
    error = properties(arm, "windows")["provisioningError"]
    assert error["provisioningErrorCode"] == "UnsupportedValidatorType", error
    assert "properties.validate.inVMValidations[1]" in error["message"], error


# conformance: 72, 73
@pytest.mark.parametrize("validator, code", [
    ({"type": "WindowsRestart"}, "BadValidatorType"),
    ({"type": "Shell"}, "NoValidatorScript"),
])
def test_unknown_validator_is_rejected(arm, service, validator, code):
    answer = arm("PUT", path("none"), json=validated(service, "none", validator))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert code in json.dumps(error), error
    assert "validate.inVMValidations[0]" in json.dumps(error), error


def test_validator_script_is_pinned(arm, service, scripts):
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
def test_retained_machine_ends_with_its_template(arm, service, which, customize, validator):
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
            assert says and unreleased_runs(service) == {newest}, status
        else:
            assert not says and unreleased_runs(service) == set(), status
        delete(arm, name)
        until(lambda: unreleased_runs(service) == set(), "the machine ends")


def test_retained_machine_outlives_the_service_and_expires(tmp_path):
    with running(prepared(tmp_path), ["--keep-for", "30s"]) as service:
        arm = asks_in_group(service)
        made = validated(service, "kept", shell("exit 1"), on_error={"onValidationError": "abort"})
        create(arm, "kept", made)
        run(arm, "kept")
        newest = logs(arm, "kept")[0]
        assert unreleased_runs(service) == {newest}
        service.kill()
        service.start()
        assert unreleased_runs(service) == {newest}
        # No command runs here, because `ledger ls` would end the machine.
        until(lambda: not list((service.data / "ledger").glob("*")), "the machine ends")
