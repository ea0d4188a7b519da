"""The rules of every route, over plain HTTP."""

import base64
import concurrent.futures
import json

import pytest
import requests

from resource_manager import (
    AIB, IDENTITIES, asks, begun, code, create, created, delete, finished, identity, last_run, output, path, path_of,
    properties, shown,
)
from templates import FOREVER, body, vhd

SUBNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net/subnets/{}"
WRITERS, ROUNDS = 16, 4
VERSIONS = ["2020-02-14", "2021-10-01", "2022-02-14", "2022-07-01", "2023-07-01", "2024-02-01", "2025-10-01"]


# conformance: 1
def test_missing_template_is_404(arm):
    answer = arm("GET", path("none"))
    assert (answer.status_code, code(answer)) == (404, "ResourceNotFound")


# conformance: 2, 3
def test_unknown_api_version_is_rejected(arm):
    for version in VERSIONS + ["2019-05-01-preview"]:
        assert arm("GET", f"resourceGroups/rg/{AIB}", version).status_code == 200, version
    assert code(arm("GET", f"resourceGroups/rg/{AIB}", None)) == "MissingApiVersionParameter"
    for unknown in ["2017-01-01", "2030-01-01"]:
        assert arm("GET", f"resourceGroups/rg/{AIB}", unknown).status_code == 400
    assert arm("GET", f"resourceGroups/rg/{AIB}", "yesterday").status_code == 400


# conformance: 6
def test_old_api_version_has_the_bare_error(arm):
    assert "code" in arm("GET", path("none"), "2020-02-14").json()
    assert "error" in arm("GET", path("none"), "2021-10-01").json()


# conformance: 5, 12, 13, 14, 15, 26, 32, 40, 91, 92, 94, 97, 103, 107, 113, 116
def test_template_is_created_run_and_deleted(arm, service):
    life = path("life")
    put = arm("PUT", life, json=body(service))
    assert put.status_code == 201, put.text
    assert put.json()["properties"]["provisioningState"] == "Creating"
    assert put.json()["properties"]["exactStagingResourceGroup"] == ""
    assert "/resourcegroups/" in put.json()["id"]
    assert put.headers["Retry-After"] == "1"
    done = finished(arm, put)
    assert done["status"] == "Succeeded" and done["name"] == done["name"].upper()
    assert done["startTime"] <= done["endTime"]
    found = arm("GET", "resourcegroups/RG/providers/microsoft.virtualmachineimages//imagetemplates/LIFE").json()
    assert found["name"] == "life"
    has = found["properties"]
    assert has["provisioningState"] == "Succeeded"
    assert has["source"]["exactVersion"] == "1.0.0"
    assert "/IT_rg_life_" in has["exactStagingResourceGroup"]
    assert has["buildTimeoutInMinutes"] == 0 and "vmProfile" not in has
    builder = list(found["identity"]["userAssignedIdentities"].values())[0]
    assert builder["principalId"] and builder["clientId"]

    again = arm("PUT", life, json=body(service))
    assert (again.status_code, code(again)) == (409, "Conflict")

    run = arm("POST", f"resourcegroups/rg/{AIB.lower()}/life/Run")
    assert run.status_code == 202 and run.content == b""
    assert run.headers["Location"] == run.headers["Azure-AsyncOperation"]
    assert finished(arm, run)["status"] == "Succeeded"
    status = last_run(arm, "life")
    assert status["runState"] == "Succeeded" and status["message"] == "" and "runSubState" not in status
    assert output(arm, "life", "image")["artifactId"].endswith("/img")
    assert arm("GET", f"{life}/runOutputs/none").status_code == 404
    assert arm("POST", f"{life}/cancel").status_code == 204

    patch = arm("PATCH", life, json={"tags": {"x": "y"}})
    assert patch.status_code == 202
    finished(arm, patch)
    assert shown(arm, "life")["tags"] == {"x": "y"}
    refused = arm("PATCH", life, json={"properties": {"customize": []}})
    assert refused.status_code == 400

    gone = arm("DELETE", life)
    assert gone.status_code == 202 and gone.content == b""
    assert gone.headers["Location"] == gone.headers["Azure-AsyncOperation"]
    finished(arm, gone)
    assert arm("GET", life).status_code == 404
    assert arm("DELETE", life).status_code == 204
    assert arm("GET", path_of(run.headers["Location"]), None).status_code == 200


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
def test_bad_template_is_rejected(arm, service, name, change, says):
    made = body(service)
    change(made)
    answer = arm("PUT", path("bad"), json=made)
    assert answer.status_code == 400, f"{name}: {answer.text}"
    assert says in answer.text, f"{name}: {answer.text}"
    assert arm("GET", path("bad")).status_code == 404


# conformance: 7
def test_bad_template_name_is_rejected(arm, service):
    assert arm("PUT", path("a%20b"), json=body(service)).status_code == 400
    assert arm("PUT", path("x" * 65), json=body(service)).status_code == 400


# conformance: 26, 27, 119
def test_missing_source_leaves_a_failed_template(arm, service):
    made = body(service)
    made["properties"]["source"]["offer"] = "missing"
    assert create(arm, "failed", made)["status"] == "Failed"
    found = properties(arm, "failed")
    assert found["provisioningState"] == "Failed"
    assert found["provisioningError"]["provisioningErrorCode"] == "BadPIRSource"
    assert arm("PUT", path("failed"), json=made).status_code == 409
    assert arm("DELETE", path("failed")).status_code == 202


# conformance: 95, 96, 100
def test_second_run_is_rejected_and_cancel_ends_the_first(arm, service):
    create(arm, "slow", body(service, customize=FOREVER))
    run = begun(arm, "slow")
    assert run.status_code == 202
    assert (begun(arm, "slow").status_code, arm("DELETE", path("slow")).status_code) == (409, 409)
    assert last_run(arm, "slow")["runState"] == "Running"
    assert arm("POST", f"{path('slow')}/cancel").status_code in (202, 204)
    assert finished(arm, run)["status"] == "Canceled"
    assert last_run(arm, "slow")["runState"] == "Canceled"


# conformance: 10
def test_request_without_valid_token_is_401(service):
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


def test_wrong_secret_is_rejected(service):
    answer = requests.post(
        f"{service.url}/{service.tenant}/oauth2/v2.0/token", verify=service.ca, timeout=30,
        data={"grant_type": "client_credentials", "client_id": service.credentials["clientId"],
              "client_secret": "wrong", "scope": f"{service.url}/.default"},
    )
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_missing_resources_are_404(arm):
    other = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups"
    assert (arm("GET", other).status_code, code(arm("GET", other))) == (404, "SubscriptionNotFound")
    assert arm("GET", "resourceGroups/rg/providers/Nobody.Home/things/x").status_code == 404
    assert arm("GET", "resourceGroups/rg/providers/Microsoft.Compute/things/x").status_code == 404
    assert code(arm("GET", f"resourceGroups/none/{AIB}")) == "ResourceGroupNotFound"


def test_malformed_body_is_rejected(arm):
    for text in ["", "{", "[]", "null", '"x"', "{}" * 2]:
        answer = arm("PUT", path("x"), data=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, text
    big = json.dumps({"location": "westus2", "tags": {"x": "y" * 6_000_000}})
    assert arm("PUT", path("x"), data=big).status_code == 413


def test_lists_are_paged(arm):
    for number in range(105):
        identity(arm, f"page-{number}")
    names, answer = [], arm("GET", IDENTITIES, "2024-11-30").json()
    while True:
        names += [one["name"] for one in answer["value"]]
        if "nextLink" not in answer:
            break
        answer = arm("GET", path_of(answer["nextLink"]), None).json()
    assert len(names) == len(set(names)) == 106


def test_one_of_many_writes_with_the_same_etag_succeeds(service, arm):
    path = "resourceGroups/rg/providers/Microsoft.Compute/galleries/contended"
    # A connection each, so that the server handles them concurrently.
    askers = [asks(service, "2024-03-03") for _ in range(WRITERS)]

    def winners(**headers):
        """Sends concurrent writes. Returns the number of successes, and the new ETag."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        put = lambda ask: ask("PUT", path, json={"location": "westus2"}, headers=named)
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            answers = list(pool.map(put, askers))
        won = [answer for answer in answers if answer.ok]
        lost = {(answer.status_code, code(answer)) for answer in answers if not answer.ok}
        assert lost <= {(412, "PreconditionFailed")}, lost
        return len(won), won[0].headers["ETag"]

    count, etag = winners(If_None_Match="*")
    assert count == 1, "made once"
    for _ in range(ROUNDS):
        count, etag = winners(If_Match=etag)
        assert count == 1


# conformance: 8
def test_lists_without_resources_are_empty(arm):
    assert arm("PUT", "resourcegroups/empty", json={"location": "westus2"}).status_code == 201
    answer = arm("GET", f"resourceGroups/empty/{AIB}")
    assert (answer.status_code, answer.json()) == (200, {"value": []})
    everywhere = arm("GET", AIB)
    assert everywhere.status_code == 200 and isinstance(everywhere.json()["value"], list)


# conformance: 9
def test_provider_operations_are_listed(service):
    answer = service.session().get(
        f"{service.url}/providers/Microsoft.VirtualMachineImages/operations?api-version=2024-02-01"
    )
    assert len(answer.json()["value"]) == 13


def test_acknowledged_writes_survive_kill_9(arm, service):
    create(arm, "kept", body(service))
    put = arm("PUT", path("half"), json=body(service))
    assert put.status_code == 201
    service.kill()
    service.start()
    assert properties(arm, "kept")["provisioningState"] == "Succeeded"
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
        # Without an identity nothing can be written but a VHD of the service's own.
        ("2019-05-01-preview", lambda b: (b.pop("identity"), b["properties"].update(distribute=[vhd()]))),
    ],
    ids=["no customizer", "null is absent", "read-only", "unknown but old", "staging group", "preview"],
)
def test_lenient_template_is_accepted(arm, service, version, change):
    made = body(service)
    change(made)
    created(arm, "lenient", made, version)
    delete(arm, "lenient")


# conformance: 108, 109
def test_patch_changes_identities_of_a_template(arm, service):
    patched, made = path("patched"), body(service)
    create(arm, "patched", made)
    old = next(iter(made["identity"]["userAssignedIdentities"]))
    two = {"type": "UserAssigned", "userAssignedIdentities": {old: {}, f"{old}2": {}}}
    assert arm("PATCH", patched, json={"identity": two}).status_code == 400
    finished(arm, arm("PATCH", patched, json={"identity": {"type": "None"}}))
    assert shown(arm, "patched")["identity"] == {"type": "None"}
    dropped = arm("PATCH", patched, json={"properties": {"distribute": []}})
    assert dropped.status_code == 400 and code(dropped) == "ValidationFailed", dropped.text
    trigger = arm("PUT", f"{patched}/triggers/new", json={"properties": {"kind": "SourceImage"}})
    assert trigger.status_code == 201, trigger.text
