"""The rules every route keeps, asked with plain HTTP."""

import base64
import json
import time

import pytest
import requests

import templates
from service import Service
from templates import body

AIB = "providers/Microsoft.VirtualMachineImages/imageTemplates"
SUBNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net/subnets/{}"
VERSIONS = ["2020-02-14", "2021-10-01", "2022-02-14", "2022-07-01", "2023-07-01", "2024-02-01", "2025-10-01"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocol")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


def fixture_arm(service):
    """Asks the service's resource manager; a group and an identity are there."""
    session = service.session()

    def ask(method, path, version="2024-02-01", **more):
        if not path.startswith("/subscriptions/"):
            path = f"/subscriptions/{service.subscription}/{path}"
        mark = "&" if "?" in path else "?"
        query = f"{mark}api-version={version}" if version else ""
        return session.request(method, f"{service.url}{path}{query}", timeout=30, **more)

    assert ask("PUT", "resourcegroups/rg", json={"location": "westus2"}).status_code == 201
    who = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
    assert ask("PUT", who, "2024-11-30", json={"location": "westus2"}).status_code == 201
    return ask


def finished(arm, answer):
    url = answer.headers["Azure-AsyncOperation"]
    path = "/subscriptions/" + url.split("/subscriptions/")[1]
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline, f"{path} does not end"
        poll = arm("GET", path, None)
        assert poll.status_code == 200
        if poll.json()["status"] != "InProgress":
            return poll.json()
        assert int(poll.headers["Retry-After"]) >= 1


def code(answer):
    return answer.json()["error"]["code"]


# conformance: 1
def test_a_missing_template_is_404(arm):
    answer = arm("GET", f"resourceGroups/rg/{AIB}/none")
    assert (answer.status_code, code(answer)) == (404, "ResourceNotFound")


# conformance: 2, 3
def test_api_versions(arm):
    for version in VERSIONS + ["2019-05-01-preview"]:
        assert arm("GET", f"resourceGroups/rg/{AIB}", version).status_code == 200, version
    assert code(arm("GET", f"resourceGroups/rg/{AIB}", None)) == "MissingApiVersionParameter"
    for unknown in ["2017-01-01", "2030-01-01"]:
        assert arm("GET", f"resourceGroups/rg/{AIB}", unknown).status_code == 400
    assert arm("GET", f"resourceGroups/rg/{AIB}", "yesterday").status_code == 400


# conformance: 6
def test_old_versions_have_the_bare_error(arm):
    assert "code" in arm("GET", f"resourceGroups/rg/{AIB}/none", "2020-02-14").json()
    assert "error" in arm("GET", f"resourceGroups/rg/{AIB}/none", "2021-10-01").json()


# conformance: 5, 12, 13, 14, 15, 26, 32, 40, 91, 92, 94, 97, 103, 107, 113, 116
def test_a_template_from_creation_to_deletion(arm, service):
    path = f"resourceGroups/rg/{AIB}/life"
    put = arm("PUT", path, json=body(service))
    assert put.status_code == 201, put.text
    assert put.json()["properties"]["provisioningState"] == "Creating"
    assert put.json()["properties"]["exactStagingResourceGroup"] == ""
    assert "/resourcegroups/" in put.json()["id"]
    assert put.headers["Retry-After"] == "1"
    done = finished(arm, put)
    assert done["status"] == "Succeeded" and done["name"] == done["name"].upper()
    assert done["startTime"] <= done["endTime"]
    shown = arm("GET", f"resourcegroups/RG/providers/microsoft.virtualmachineimages//imagetemplates/LIFE").json()
    assert shown["name"] == "life"
    properties = shown["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["source"]["exactVersion"] == "1.0.0"
    assert "/IT_rg_life_" in properties["exactStagingResourceGroup"]
    assert properties["buildTimeoutInMinutes"] == 0 and "vmProfile" not in properties
    identity = list(shown["identity"]["userAssignedIdentities"].values())[0]
    assert identity["principalId"] and identity["clientId"]

    again = arm("PUT", path, json=body(service))
    assert (again.status_code, code(again)) == (409, "Conflict")

    run = arm("POST", f"resourcegroups/rg/{AIB.lower()}/life/Run")
    assert run.status_code == 202 and run.content == b""
    assert run.headers["Location"] == run.headers["Azure-AsyncOperation"]
    assert finished(arm, run)["status"] == "Succeeded"
    status = arm("GET", path).json()["properties"]["lastRunStatus"]
    assert status["runState"] == "Succeeded" and status["message"] == "" and "runSubState" not in status
    assert arm("GET", f"{path}/runOutputs/image").json()["properties"]["artifactId"].endswith("/img")
    assert arm("GET", f"{path}/runOutputs/none").status_code == 404
    assert arm("POST", f"{path}/cancel").status_code == 204

    patch = arm("PATCH", path, json={"tags": {"x": "y"}})
    assert patch.status_code == 202
    finished(arm, patch)
    assert arm("GET", path).json()["tags"] == {"x": "y"}
    refused = arm("PATCH", path, json={"properties": {"customize": []}})
    assert refused.status_code == 400

    delete = arm("DELETE", path)
    assert delete.status_code == 202 and delete.content == b""
    assert delete.headers["Location"] == delete.headers["Azure-AsyncOperation"]
    finished(arm, delete)
    assert arm("GET", path).status_code == 404
    assert arm("DELETE", path).status_code == 204
    location = "/subscriptions/" + run.headers["Location"].split("/subscriptions/")[1]
    assert arm("GET", location, None).status_code == 200




# conformance: 11, 16, 17, 18, 19, 20, 22, 23, 32, 35
@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("no identity", lambda b: b.pop("identity"), "Missing field 'identity'"),
        ("system identity", lambda b: b.update(identity={"type": "SystemAssigned"}), "identity"),
        ("no location", lambda b: b.pop("location"), "location"),
        ("unknown region", lambda b: b.update(location="atlantis"), "atlantis"),
        ("no source", lambda b: b["properties"].pop("source"), "source"),
        ("no distribute", lambda b: b["properties"].pop("distribute"), "distribute"),
        ("unknown field", lambda b: b["properties"].update(vmboot={}), "unknown field"),
        ("time-out", lambda b: b["properties"].update(buildTimeoutInMinutes=961), "buildTimeoutInMinutes"),
        ("disk size", lambda b: b["properties"].update(vmProfile={"osDiskSizeGB": -1}), "osDiskSizeGB"),
        (
            "two identities",
            lambda b: b["identity"]["userAssignedIdentities"].update(
                {next(iter(b["identity"]["userAssignedIdentities"])) + "2": {}}
            ),
            "identit",
        ),
        ("empty distribute", lambda b: b["properties"].update(distribute=[]), "distribute"),
        ("time below zero", lambda b: b["properties"].update(buildTimeoutInMinutes=-1), "buildTimeoutInMinutes"),
        ("iso", lambda b: b["properties"]["source"].update(type="ISO"), "ISO"),
        (
            "proxy", lambda b: b["properties"].update(vmProfile={"vnetConfig": {"containerInstanceSubnetId": "x"}}),
            "subnetId",
        ),
        (
            "proxy and container",
            lambda b: b["properties"].update(vmProfile={"vnetConfig": {
                "subnetId": SUBNET.format(1), "containerInstanceSubnetId": SUBNET.format(2),
                "proxyVmSize": "Standard_A1_v2",
            }}),
            "proxyVmSize",
        ),
    ],
)
def test_a_bad_template_is_refused(arm, service, name, change, says):
    made = body(service)
    change(made)
    answer = arm("PUT", f"resourceGroups/rg/{AIB}/bad", json=made)
    assert answer.status_code == 400, f"{name}: {answer.text}"
    assert says in answer.text, f"{name}: {answer.text}"
    assert arm("GET", f"resourceGroups/rg/{AIB}/bad").status_code == 404


# conformance: 7
def test_names(arm, service):
    assert arm("PUT", f"resourceGroups/rg/{AIB}/a%20b", json=body(service)).status_code == 400
    assert arm("PUT", f"resourceGroups/rg/{AIB}/{'x' * 65}", json=body(service)).status_code == 400


# conformance: 26, 27, 119
def test_a_source_that_does_not_exist_leaves_a_failed_template(arm, service):
    made = body(service)
    made["properties"]["source"]["offer"] = "missing"
    put = arm("PUT", f"resourceGroups/rg/{AIB}/failed", json=made)
    assert put.status_code == 201
    assert finished(arm, put)["status"] == "Failed"
    properties = arm("GET", f"resourceGroups/rg/{AIB}/failed").json()["properties"]
    assert properties["provisioningState"] == "Failed"
    assert properties["provisioningError"]["provisioningErrorCode"] == "BadPIRSource"
    assert arm("PUT", f"resourceGroups/rg/{AIB}/failed", json=made).status_code == 409
    assert arm("DELETE", f"resourceGroups/rg/{AIB}/failed").status_code == 202


# conformance: 95, 96, 100
def test_one_run_at_a_time_and_cancel(arm, service):
    path = f"resourceGroups/rg/{AIB}/slow"
    made = body(service)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["sleep forever"]}]
    finished(arm, arm("PUT", path, json=made))
    run = arm("POST", f"{path}/run")
    assert run.status_code == 202
    assert (arm("POST", f"{path}/run").status_code, arm("DELETE", path).status_code) == (409, 409)
    assert arm("GET", path).json()["properties"]["lastRunStatus"]["runState"] == "Running"
    assert arm("POST", f"{path}/cancel").status_code in (202, 204)
    assert finished(arm, run)["status"] == "Canceled"
    assert arm("GET", path).json()["properties"]["lastRunStatus"]["runState"] == "Canceled"


# conformance: 10
def test_who_is_nobody(service):
    url = f"{service.url}/subscriptions?api-version=2022-12-01"
    nobody = requests.get(url, verify=service.ca, timeout=30)
    assert nobody.status_code == 401
    assert nobody.json()["error"]["code"] == "AuthenticationFailed"
    wrong = requests.get(url, verify=service.ca, timeout=30, headers={"Authorization": "Bearer x.y.z"})
    assert wrong.status_code == 401
    challenge = wrong.headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = challenge.split('claims="')[1].split('"')[0]
    assert "access_token" in json.loads(base64.b64decode(claims))


def test_a_wrong_secret(service):
    answer = requests.post(
        f"{service.url}/{service.tenant}/oauth2/v2.0/token", verify=service.ca, timeout=30,
        data={"grant_type": "client_credentials", "client_id": service.credentials["clientId"],
              "client_secret": "wrong", "scope": f"{service.url}/.default"},
    )
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_what_is_not_there(arm):
    other = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups"
    assert (arm("GET", other).status_code, code(arm("GET", other))) == (404, "SubscriptionNotFound")
    assert arm("GET", "resourceGroups/rg/providers/Nobody.Home/things/x").status_code == 404
    assert arm("GET", "resourceGroups/rg/providers/Microsoft.Compute/things/x").status_code == 404
    assert code(arm("GET", f"resourceGroups/none/{AIB}")) == "ResourceGroupNotFound"


def test_bodies_that_are_none(arm):
    path = f"resourceGroups/rg/{AIB}/x"
    for text in ["", "{", "[]", "null", '"x"', "{}" * 2]:
        answer = arm("PUT", path, data=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, text
    big = json.dumps({"location": "westus2", "tags": {"x": "y" * 6_000_000}})
    assert arm("PUT", path, data=big).status_code == 413


def test_lists_come_in_pages(arm):
    for number in range(105):
        who = f"resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/page-{number}"
        assert arm("PUT", who, "2024-11-30", json={"location": "westus2"}).status_code == 201
    names, path = [], "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    answer = arm("GET", path, "2024-11-30").json()
    while True:
        names += [one["name"] for one in answer["value"]]
        if "nextLink" not in answer:
            break
        answer = arm("GET", "/subscriptions/" + answer["nextLink"].split("/subscriptions/")[1], None).json()
    assert len(names) == len(set(names)) == 106


# conformance: 8
def test_lists_of_nothing_are_empty(arm):
    assert arm("PUT", "resourcegroups/empty", json={"location": "westus2"}).status_code == 201
    answer = arm("GET", f"resourceGroups/empty/{AIB}")
    assert (answer.status_code, answer.json()) == (200, {"value": []})
    everywhere = arm("GET", AIB)
    assert everywhere.status_code == 200 and isinstance(everywhere.json()["value"], list)


# conformance: 9
def test_operations_are_listed(service):
    answer = service.session().get(
        f"{service.url}/providers/Microsoft.VirtualMachineImages/operations?api-version=2024-02-01",
        timeout=30,
    )
    assert len(answer.json()["value"]) == 13


def test_what_was_acknowledged_survives_kill_9(arm, service):
    path = f"resourceGroups/rg/{AIB}/kept"
    finished(arm, arm("PUT", path, json=body(service)))
    put = arm("PUT", f"resourceGroups/rg/{AIB}/half", json=body(service))
    assert put.status_code == 201
    service.kill()
    service.start()
    assert arm("GET", path).json()["properties"]["provisioningState"] == "Succeeded"
    assert finished(arm, put)["status"] == "Succeeded"


# conformance: 4, 21, 22, 24, 25
@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("2024-02-01", lambda b: b["properties"].pop("customize")),
        ("2024-02-01", lambda b: b["properties"].update(customize=[], vmProfile=None, validate=None)),
        ("2024-02-01", lambda b: b["properties"].update(provisioningState="Failed", lastRunStatus={})),
        ("2022-07-01", lambda b: b["properties"].update(vmboot={})),
        ("2024-02-01", lambda b: b["properties"].update(stagingResourceGroup="")),
        ("2019-05-01-preview", lambda b: b.pop("identity")),
    ],
    ids=["no customizer", "null is absent", "read-only", "unknown but old", "staging group", "preview"],
)
def test_a_lenient_template_is_taken(arm, service, version, change):
    path, made = f"resourceGroups/rg/{AIB}/lenient", body(service)
    change(made)
    put = arm("PUT", path, version, json=made)
    assert put.status_code == 201, put.text
    assert finished(arm, put)["status"] == "Succeeded"
    finished(arm, arm("DELETE", path))


# conformance: 108, 109
def test_identities_of_a_template_change_by_patch(arm, service):
    path, made = f"resourceGroups/rg/{AIB}/patched", body(service)
    finished(arm, arm("PUT", path, json=made))
    old = next(iter(made["identity"]["userAssignedIdentities"]))
    two = {"type": "UserAssigned", "userAssignedIdentities": {old: {}, f"{old}2": {}}}
    assert arm("PATCH", path, json={"identity": two}).status_code == 400
    finished(arm, arm("PATCH", path, json={"identity": {"type": "None"}}))
    assert arm("GET", path).json()["identity"] == {"type": "None"}
    dropped = arm("PATCH", path, json={"properties": {"distribute": []}})
    assert dropped.status_code == 400 and code(dropped) == "ValidationFailed", dropped.text
    trigger = arm("PUT", f"{path}/triggers/new", json={"properties": {"kind": "SourceImage"}})
    assert trigger.status_code == 201, trigger.text
