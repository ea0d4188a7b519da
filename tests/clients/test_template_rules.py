"""The effects of a template's fields at creation, during changes, and in runs."""

import hashlib

from resource_manager import (
    COMPUTE, begun, cancel, code, create, delete, finished, last_run, path, properties, ran, run_ids,
)
from service import until
from templates import FOREVER, body, managed, shell


# conformance: 30, 31
def test_script_is_pinned_at_creation(arm, service, scripts):
    url, files = scripts
    files["/hello.sh"] = b"echo one\n"
    script = {"type": "Shell", "scriptUri": f"{url}/hello.sh", "sha256Checksum": ""}
    assert create(arm, "pinned", body(service, customize=[script]))["status"] == "Succeeded"
    pinned = properties(arm, "pinned")["customize"][0]["sha256Checksum"]
    assert pinned == hashlib.sha256(files["/hello.sh"]).hexdigest()
    files["/hello.sh"] = b"exit 7\n"
    assert ran(arm, "pinned")["status"] == "Succeeded"
    log = arm("GET", f"{path('pinned')}/runs/{run_ids(arm, 'pinned')[0]}/log").text
    assert "PACKER OUT one" in log


# conformance: 29
def test_wrong_checksum_fails_the_creation(arm, service, scripts):
    script = {"type": "Shell", "scriptUri": f"{scripts.url}/hello.sh", "sha256Checksum": "0" * 64}
    assert create(arm, "misfit", body(service, customize=[script]))["status"] == "Failed"
    assert properties(arm, "misfit")["provisioningState"] == "Failed"


# conformance: 28
def test_unreachable_script_fails_the_creation(arm, service, scripts):
    made = body(service, customize=[{"type": "Shell", "scriptUri": f"{scripts.url}/none.sh"}])
    assert create(arm, "unreachable", made)["status"] == "Failed"


# conformance: 34
def test_empty_vm_profile_is_returned_with_defaults(arm, service):
    create(arm, "profile", body(service, vmProfile={}))
    assert properties(arm, "profile")["vmProfile"] == {"vmSize": "", "osDiskSizeGB": 0}


# conformance: 38
def test_auto_run_starts_one_run(arm, service):
    create(arm, "auto", body(service, autoRun={"state": "Enabled"}))
    until(lambda: "lastRunStatus" in properties(arm, "auto"), "it runs")
    assert len(run_ids(arm, "auto")) == 1


# conformance: 39
def test_staging_group_has_the_managed_resource_tags(arm, service):
    create(arm, "tagged", body(service, managedResourceTags={"cost": "42"}))
    group = properties(arm, "tagged")["exactStagingResourceGroup"]
    tags = arm("GET", group).json()["tags"]
    assert tags["cost"] == "42" and tags["imageTemplateName"] == "tagged"


# conformance: 96, 101, 114
def test_two_templates_run_concurrently_and_reject_changes(arm, service):
    made = body(service, customize=FOREVER, vmProfile={"vmSize": "Standard_B1s"})
    runs = {}
    for name in ["left", "right"]:
        create(arm, name, made)
        runs[name] = begun(arm, name)

    def both_customize():
        states = {last_run(arm, name).get("runSubState") for name in runs}
        assert states <= {"Queued", "Building", "Customizing"}, states
        return states == {"Customizing"}

    until(both_customize)
    refused = arm("PATCH", path("left"), json={"tags": {"a": "b"}})
    assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed")
    for name, run in runs.items():
        cancel(arm, name, run)


# conformance: 110, 111, 112
def test_distribute_changes_but_is_not_shortened(arm, service):
    create(arm, "targets", body(service))
    changed = managed(service.subscription, "other")
    patch = arm("PATCH", path("targets"), json={"properties": {"distribute": [changed]}})
    assert patch.status_code == 202 and finished(arm, patch)["status"] == "Succeeded"
    after = properties(arm, "targets")
    assert after["distribute"][0]["imageId"].endswith("/other")
    assert after["provisioningState"] == "Succeeded"
    incomplete = {"type": "ManagedImage", "runOutputName": "image"}
    refused = arm("PATCH", path("targets"), json={"properties": {"distribute": [incomplete]}})
    assert refused.status_code == 400 and "Missing field" in refused.text
    patch = arm("PATCH", path("targets"), json={"properties": {"vmProfile": {"vmSize": "Standard_B2s"}}})
    assert patch.status_code == 202 and finished(arm, patch)["status"] == "Succeeded"
    assert properties(arm, "targets")["vmProfile"]["vmSize"] == "Standard_B2s"


# conformance: 118
def test_failed_run_names_its_log_and_images_outlive_templates(arm, service):
    create(arm, "outlived", body(service))
    ran(arm, "outlived")
    delete(arm, "outlived")
    assert arm("GET", f"{COMPUTE}/images/img", "2024-07-01").status_code == 200
    create(arm, "broken", body(service, customize=[shell("echo last words", "exit 3")]))
    assert ran(arm, "broken")["status"] == "Failed"
    message = last_run(arm, "broken")["message"]
    url = message.split("Image Build log location: ")[1].split(". OperationId")[0]
    log = service.session().get(url)
    assert log.status_code == 200 and "PACKER OUT last words" in log.text


# conformance: 36, 37
def test_named_staging_group_is_created_or_must_be_empty(arm, service):
    made = body(service)
    prefix = f"/subscriptions/{service.subscription}/resourceGroups"
    made["properties"]["stagingResourceGroup"] = f"{prefix}/mine"
    create(arm, "staged", made)
    assert properties(arm, "staged")["exactStagingResourceGroup"].endswith("/mine")
    assert arm("GET", "resourcegroups/mine").status_code == 200
    made["properties"]["stagingResourceGroup"] = f"{prefix}/rg"
    assert create(arm, "crowded", made)["status"] == "Failed"
    error = properties(arm, "crowded")["provisioningError"]
    assert error["provisioningErrorCode"] == "BadStagingResourceGroup"
