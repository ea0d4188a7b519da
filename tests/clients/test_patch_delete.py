"""Changes and deletion of templates, and when neither is allowed."""

import threading
import time

from resource_manager import (
    COMPUTE, asks, begun, cancel, code, create, delete, finished, identity, output, path, path_of, properties, ran, shown,
)
from service import WITHIN_S
from templates import FOREVER, body, managed, vhd


def patched(arm, name, change, version="2024-02-01"):
    """Patches the template successfully and returns it."""
    answer = arm("PATCH", path(name), version, json=change)
    assert answer.status_code == 202 and answer.content == b"", answer.text
    assert answer.headers["Location"] == answer.headers["Azure-AsyncOperation"]
    assert finished(arm, answer)["status"] == "Succeeded"
    after = shown(arm, name)
    assert after["properties"]["provisioningState"] == "Succeeded"
    return after


def refused(arm, name, change, version="2024-02-01"):
    """Code and message of a rejected patch; asserts that the template is unchanged."""
    before = shown(arm, name)
    answer = arm("PATCH", path(name), version, json=change)
    assert answer.status_code == 400, answer.text
    assert shown(arm, name) == before
    error = answer.json()["error"]
    return error["code"], error["message"]


def target(service, name, image, **more):
    return managed(service.subscription, image, runOutputName=name, **more)


# conformance: 107
def test_patch_replaces_tags(arm, service):
    create(arm, "tagged", body(service))
    assert patched(arm, "tagged", {"tags": {"a": "1", "b": "2"}})["tags"] == {"a": "1", "b": "2"}
    assert patched(arm, "tagged", {"tags": {"c": "3"}})["tags"] == {"c": "3"}
    assert patched(arm, "tagged", {"tags": {}}, "2020-02-14")["tags"] == {}
    assert patched(arm, "tagged", {"tags": None})["tags"] == {}


# conformance: 108, 109
def test_patch_removes_or_replaces_the_identity(arm, service):
    made = body(service)
    create(arm, "who", made)
    old = next(iter(made["identity"]["userAssignedIdentities"]))
    new = old.replace("/builder", "/other")
    identity(arm, "other")

    def change(ids):
        return {"identity": {"type": "UserAssigned", "userAssignedIdentities": ids}}

    said = refused(arm, "who", change({new: {}}))
    assert said[0] == "ValidationFailed", said
    after = patched(arm, "who", change({old: None, new: {}}))["identity"]["userAssignedIdentities"]
    assert [one.lower() for one in after] == [new.lower()] and all(one["clientId"] for one in after.values())
    assert patched(arm, "who", {"identity": {"type": "None"}})["identity"] == {"type": "None"}
    assert "was not found" in refused(arm, "who", change({old + "-not-there": {}}))[1]
    assert list(patched(arm, "who", change({old: {}}))["identity"]["userAssignedIdentities"]) == [old]


# conformance: 110, 111
def test_patch_changes_or_adds_targets_but_removes_none(arm, service):
    made = body(service, distribute=[target(service, "one", "a"), target(service, "two", "b")])
    create(arm, "targets", made)
    for left in ["one", "two"]:
        remaining = [entry for entry in made["properties"]["distribute"] if entry["runOutputName"] != left]
        said = refused(arm, "targets", {"properties": {"distribute": remaining}})
        assert said == (
            "ValidationFailed",
            f"Validation failed: Distribute target with Runoutput name {left} not found in the update "
            "request. Deleting a distribution target is not allowed.",
        )
    incomplete = target(service, "one", "a")
    for field in ["imageId", "location", "runOutputName"]:
        broken = {k: v for k, v in incomplete.items() if k != field}
        said = refused(arm, "targets", {"properties": {"distribute": [broken, target(service, "two", "b")]}})
        assert said[0] == "ValidationFailed" and "Missing field" in said[1] and field in said[1], said
        assert "distribute[0]" in said[1], said
    changed = [
        target(service, "two", "changed", artifactTags={"k": "v"}),
        target(service, "one", "a"),
        vhd("three"),
    ]
    after = patched(arm, "targets", {"properties": {"distribute": changed}}, "2023-07-01")
    names = [entry["runOutputName"] for entry in after["properties"]["distribute"]]
    assert names == ["two", "one", "three"]
    assert after["properties"]["distribute"][0]["imageId"].endswith("/changed")
    said = refused(arm, "targets", {"properties": {"distribute": changed}}, "2022-07-01")
    assert "2023-07-01" in said[1], said
    # The next run uses the changed targets.
    assert ran(arm, "targets")["status"] == "Succeeded"
    outputs = {o["name"]: o["properties"] for o in arm("GET", f"{path('targets')}/runOutputs").json()["value"]}
    assert sorted(outputs) == ["one", "three", "two"]
    assert outputs["two"]["artifactId"].endswith("/changed") and outputs["three"]["artifactUri"]


# conformance: 112
def test_patch_changes_the_vm_profile(arm, service):
    create(arm, "machine", body(service))
    after = patched(arm, "machine", {"properties": {"vmProfile": {"vmSize": "Standard_B2s", "osDiskSizeGB": 4}}})
    assert after["properties"]["vmProfile"] == {"vmSize": "Standard_B2s", "osDiskSizeGB": 4}
    assert "2024-02-01" in refused(arm, "machine", {"properties": {"vmProfile": {}}}, "2023-07-01")[1]
    assert refused(arm, "machine", {"properties": {"vmProfile": {"osDiskSizeGB": -1}}})[0] == "ValidationFailed"
    assert refused(arm, "machine", {"properties": {"vmProfile": {"vmSize": "Huge"}}})[0] == "ValidationFailed"


# conformance: 113
def test_patch_rejects_all_other_fields(arm, service):
    create(arm, "fixed", body(service))
    source = body(service)["properties"]["source"]
    for change in [
        {"properties": {"customize": [{"type": "Shell", "inline": ["true"]}]}},
        {"properties": {"source": source}},
        {"properties": {"buildTimeoutInMinutes": 10}},
        {"properties": {"stagingResourceGroup": ""}},
        {"properties": {"managedResourceTags": {"a": "b"}}},
        {"properties": {"autoRun": {"state": "Enabled"}}},
        {"location": "eastus"},
        {"tags": {"a": "b"}, "properties": {"customize": []}},
    ]:
        said = refused(arm, "fixed", change)
        assert said[0] == "ValidationFailed" and "cannot be updated" in said[1], said


# conformance: 95, 100, 114
def test_patch_is_rejected_during_a_run(arm, service):
    create(arm, "busy", body(service, customize=FOREVER))
    run = begun(arm, "busy")
    for method, where, more in [
        ("PATCH", path("busy"), {"json": {"tags": {"a": "b"}}}),
        ("PATCH", path("busy"), {"json": {"properties": {"vmProfile": {"vmSize": "Standard_B2s"}}}}),
        ("PATCH", path("busy"), {"json": {"identity": {"type": "None"}}}),
        ("DELETE", path("busy"), {}),
        ("POST", f"{path('busy')}/run", {}),
    ]:
        answer = arm(method, where, **more)
        assert (answer.status_code, code(answer)) == (409, "OperationNotAllowed"), answer.text
        assert "runState: 'running'" in answer.json()["error"]["message"], answer.text
    after = shown(arm, "busy")
    assert after["tags"] == {"made": "by a test"} and after["identity"]["type"] == "UserAssigned"
    assert after["properties"]["provisioningState"] == "Succeeded"
    assert arm("GET", after["properties"]["exactStagingResourceGroup"]).status_code == 200
    cancel(arm, "busy", run)
    assert patched(arm, "busy", {"tags": {"a": "b"}})["tags"] == {"a": "b"}


# conformance: 115
def test_patch_passes_through_updating(arm, service):
    create(arm, "passing", body(service))
    seen, over = set(), threading.Event()
    watcher = asks(service)

    def watch():
        while not over.is_set():
            seen.add(properties(watcher, "passing")["provisioningState"])
            if "Updating" in seen:
                over.set()

    thread = threading.Thread(target=watch)
    thread.start()
    deadline, number = time.monotonic() + WITHIN_S, 0
    while not over.is_set() and time.monotonic() < deadline:
        number += 1
        patched(arm, "passing", {"tags": {"number": str(number)}})
    over.set()
    thread.join()
    assert seen <= {"Updating", "Succeeded"} and "Updating" in seen, seen


# conformance: 116, 118, 119, 120
def test_delete_removes_the_template_and_its_staging_group(arm, service):
    made = body(service, distribute=[managed(service.subscription, "survivor"), vhd()])
    create(arm, "leaving", made)
    assert ran(arm, "leaving")["status"] == "Succeeded"
    disk = output(arm, "leaving", "disk")["artifactUri"]
    session = service.session()
    assert session.head(disk).status_code == 200
    answer = arm("DELETE", path("leaving"))
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["Location"] == answer.headers["Azure-AsyncOperation"]
    assert finished(arm, answer)["status"] == "Succeeded"
    for gone in [path("leaving"), f"{path('leaving')}/runOutputs/image"]:
        assert arm("GET", gone).status_code == 404
    assert session.head(disk).status_code == 404
    assert arm("GET", f"{COMPUTE}/images/survivor", "2024-07-01").status_code == 200
    for nobody in ["leaving", "never-there"]:
        assert arm("DELETE", path(nobody)).status_code == 204
    assert arm("GET", path_of(answer.headers["Location"]), None).status_code == 200

    made["properties"]["source"]["offer"] = "missing"
    assert create(arm, "failed", made)["status"] == "Failed"
    assert properties(arm, "failed")["provisioningState"] == "Failed"
    assert delete(arm, "failed")["status"] == "Succeeded"
    assert create(arm, "failed", body(service))["status"] == "Succeeded", "the name is free again"
