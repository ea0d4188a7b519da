"""Azure PowerShell on the wire: its log-in, and the cmdlets for image templates, groups, identities, galleries, roles
and deployments. Each test sends what the cmdlet sends, and reads what the cmdlet reads."""

import base64
import json
import re
import uuid

import pytest

import deployment_files
from powershell import (
    AIB_API, ASSIGNMENTS_API, DEPLOYMENTS_API, GROUPS_API, IDENTITY_API, OLD_DEPLOYMENTS_API, ROLES_API, Client,
    deployed, pause, polled,
)
from resource_manager import AIB, COMPUTE, IDENTITIES, last_run, path
from service import until
from templates import FOREVER, body

AUTHORIZATION = "providers/Microsoft.Authorization"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
LISTS = ("actions", "notActions", "dataActions", "notDataActions")
ACTIONS = ["Run", "run", "RUN"]
REALM = "http://schemas.microsoft.com/rel/trusted-realm"
# Connect-AzAccount -AccessToken cannot renew its token.
LIFETIME_S = 24 * 3600


@pytest.fixture(scope="module")
def flags():
    return ["--token-lifetime", "24h"]


@pytest.fixture(scope="module")
def client(service, arm):
    """The group `rg` and the identity `builder` exist."""
    return Client(service)


def template(service, **properties):
    """What New-AzImageBuilderTemplate makes of its parameters: the order of its fields, and empty identities."""
    made = body(service, **properties)
    return {field: made[field] for field in ("location", "tags", "properties", "identity")}


def created(client, name, made):
    put = client.generated("New-AzImageBuilderTemplate", "PUT", path(name), AIB_API, made)
    assert put.status == 201, put.text
    ended, shown = polled(client, put, lambda: client.generated(
        "New-AzImageBuilderTemplate", "GET", path(name), AIB_API
    ))
    assert ended.json()["status"] == "Succeeded", ended.text
    return shown.json()


# --- Add-AzEnvironment and Connect-AzAccount ---


def test_metadata_serves_the_flat_form_and_the_new_one(client, service):
    # `Add-AzEnvironment -ARMEndpoint` lower-cases the whole URL.
    flat = client.send("GET", "/metadata/endpoints?api-version=1.0").json()
    login, audiences = flat["authentication"]["loginEndpoint"], flat["authentication"]["audiences"]
    assert login == f"{service.url}/adfs" and all(audiences)
    assert flat["galleryEndpoint"] and flat["portalEndpoint"]
    # Generated modules compare hosts alone: for every request to the host of this endpoint they ask for a token for it.
    assert flat["graphEndpoint"] == flat["graph"] == audiences[0]
    new = client.send("GET", "/metadata/endpoints?api-version=2022-09-01").json()
    assert new["name"] and new["resourceManager"] == f"{service.url}/"
    assert isinstance(new["suffixes"], dict) and new["authentication"]["audiences"] == audiences
    # Otherwise PowerShell leaves the address of Graph empty.
    assert new["microsoftGraphResourceId"] == f"{service.url}/graph/"


def test_webfinger_trusts_only_names_of_the_server(client):
    ask = f"/.well-known/webfinger?rel={REALM}&resource="
    found = client.send("GET", f"{ask}https://localhost")
    assert found.status == 200
    assert found.json()["links"] == [{"rel": REALM, "href": "https://localhost"}]
    for resource, status in [("https://login.example", 404), ("", 400), ("http://localhost", 404)]:
        refused = client.send("GET", ask + resource)
        assert refused.status == status and refused.json()["error"]["message"], resource


def login(client, path, scope):
    c = client.service.credentials
    form = (
        f"client_id={c['clientId']}&client_secret={c['clientSecret']}&grant_type=client_credentials&client_info=1"
        f"&claims=%7B%22access_token%22%3A%7B%22xms_cc%22%3A%7B%22values%22%3A%5B%22CP1%22%5D%7D%7D%7D&scope={scope}"
    )
    return client.send("POST", path, form, {
        "Content-Type": "application/x-www-form-urlencoded", "x-client-SKU": "MSAL.CoreCLR",
    })


def test_service_principal_signs_in_with_the_scopes_of_both_forms(client, service):
    url = service.url
    for place, scope in [
        ("/adfs/oauth2/token", f"{url}//openid"),
        ("/adfs/oauth2/token", f"{url}/openid%20offline_access"),
        ("/adfs/oauth2/token", f"{url}//.default"),
        (f"/{service.tenant}/oauth2/v2.0/token", f"{url}//.default"),
        ("/adfs/oauth2/token", f"{url}/graph//openid"),
    ]:
        answer = login(client, place, scope)
        assert answer.status == 200, (scope, answer.text)
        assert answer.json()["token_type"] == "Bearer"
        token = answer.json()["access_token"]
        if "graph" in scope:
            assert client.send("GET", "/graph/v1.0/users", token=token).status == 200
        else:
            for version in ("2021-01-01", "2019-06-01", "2016-06-01"):
                found = client.send("GET", f"/subscriptions?api-version={version}", token=token)
                assert [one["state"] for one in found.json()["value"]] == ["Enabled"]
    own = client.arm("GET", f"/subscriptions/{service.subscription}", "2021-01-01").json()
    assert own["subscriptionId"] == service.subscription and own["state"] == "Enabled" and own["displayName"]
    assert login(client, "/adfs/oauth2/token", "https://elsewhere.example//openid").status == 400


def test_token_for_connect_with_an_access_token_lives_for_hours(client, service):
    answer = login(client, "/adfs/oauth2/token", f"{service.url}//.default").json()
    assert answer["expires_in"] >= LIFETIME_S - 60
    claims = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["exp"] - claims["nbf"] >= LIFETIME_S and claims["tid"] == service.tenant


def test_challenge_of_a_bad_token_can_be_parsed(client):
    refused = client.send("GET", "/subscriptions?api-version=2021-01-01", token="a.b.c")
    assert refused.status == 401 and refused.code
    scheme, pairs = refused.headers["www-authenticate"].split(" ", 1)
    pairs = dict(re.findall(r'(\w+)="([^"]*)"', pairs))
    assert scheme == "Bearer" and json.loads(base64.urlsafe_b64decode(pairs["claims"]))["access_token"]


# --- Groups and providers ---


def test_group_is_created_and_removed(client):
    group = "resourcegroups/ps-group"
    absent = client.arm("HEAD", group, GROUPS_API)
    assert (absent.status, absent.text) == (404, "")
    made = client.arm("PUT", group, GROUPS_API, {"location": "WestUS2"})
    assert made.status == 201 and made.json()["location"] == "westus2"
    assert made.json()["properties"]["provisioningState"] == "Succeeded"
    assert client.arm("HEAD", group, "2016-09-01").status == 204
    answer = client.arm("DELETE", group, "2016-09-01")
    assert answer.status == 202

    def gone():
        nonlocal answer
        pause(answer)
        answer = client.follow(answer.headers["location"])
        assert answer.status in (200, 202), answer.text
        return answer.status == 200

    until(gone, "the group is removed")
    assert client.arm("HEAD", group, "2016-09-01").status == 404


def test_first_type_of_image_builder_decides_the_version_of_actions(client):
    answer = client.arm("GET", "providers", "2021-04-01").json()
    found = {provider["namespace"]: provider["resourceTypes"] for provider in answer["value"]}
    types = found["Microsoft.VirtualMachineImages"]
    assert types[0]["resourceType"] == "imageTemplates"
    for namespace, types in found.items():
        for kind in types:
            stable = [version for version in kind["apiVersions"] if "preview" not in version]
            assert kind["defaultApiVersion"] == max(stable), (namespace, kind)


# --- Image templates ---


def test_template_is_created_shown_and_listed(client, service):
    shown = created(client, "ps-made", template(service))
    assert shown["properties"]["provisioningState"] == "Succeeded"
    for place in [f"resourceGroups/rg/{AIB}", AIB]:
        found = client.generated("Get-AzImageBuilderTemplate", "GET", place, AIB_API).json()["value"]
        assert "ps-made" in [one["name"] for one in found]


def test_template_from_a_deployment_file_may_have_fields_of_the_file(client, service):
    made = template(service) | {
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2022-07-01", "dependsOn": [],
    }
    # `-JsonTemplatePath` sends the text as it is.
    text = json.dumps(made, indent=4)
    assert created(client, "ps-file", text)["name"] == "ps-file"


def test_run_without_body_is_polled_to_its_end(client, service):
    created(client, "ps-run", template(service))
    # http.client sends `Content-Length: 0`, and no type.
    started = client.generated("Start-AzImageBuilderTemplate", "POST", f"{path('ps-run')}/run", AIB_API)
    assert started.status == 202 and started.headers["location"]
    ended, again = polled(client, started)
    assert ended.json()["status"] == again.json()["status"] == "Succeeded"
    output = client.generated(
        "Get-AzImageBuilderTemplateRunOutput", "GET", f"{path('ps-run')}/runOutputs", AIB_API
    ).json()["value"]
    assert [one["name"] for one in output] == ["image"] and output[0]["properties"]["artifactId"]
    removed = client.generated("Remove-AzImageBuilderTemplate", "DELETE", path("ps-run"), AIB_API)
    assert removed.status == 202 and removed.headers["location"]
    assert polled(client, removed)[1].json()["status"] == "Succeeded"
    gone = client.generated("Get-AzImageBuilderTemplate", "GET", path("ps-run"), AIB_API)
    assert (gone.status, gone.code) == (404, "ResourceNotFound")
    assert client.generated("Remove-AzImageBuilderTemplate", "DELETE", path("ps-run"), AIB_API).status == 204


def test_failed_template_names_its_error(client, service):
    made = template(service)
    made["properties"]["source"]["offer"] = "missing"
    put = client.generated("New-AzImageBuilderTemplate", "PUT", path("ps-failed"), AIB_API, made)
    ended, shown = polled(client, put, lambda: client.generated(
        "New-AzImageBuilderTemplate", "GET", path("ps-failed"), AIB_API
    ))
    error = ended.json()["error"]
    assert ended.json()["status"] == "Failed" and error["code"] and error["message"]
    assert shown.json()["properties"]["provisioningState"] == "Failed"


@pytest.mark.parametrize("action", ACTIONS)
def test_generic_action_with_type_and_empty_body_ends_at_its_first_poll(client, service, action):
    name = f"ps-action-{ACTIONS.index(action)}"
    created(client, name, template(service, customize=FOREVER))
    answer = client.arm("GET", "providers/Microsoft.VirtualMachineImages", "2021-04-01").json()
    version = answer["resourceTypes"][0]["defaultApiVersion"]
    # Invoke-AzResourceAction without -Parameters: a type, and nothing of it.
    started = client.arm("POST", f"{path(name)}/{action}", version, headers={
        "Content-Type": "application/json; charset=utf-8", "Content-Length": "0",
    })
    assert started.status == 202, started.text
    pause(started)
    # 200 ends the cmdlet, whatever the body says; scripts then watch lastRunStatus.
    first = client.follow(started.headers["location"])
    assert first.status == 200 and first.json()["status"] == "InProgress"
    shown = client.arm("GET", path(name), version).json()
    assert shown["properties"]["lastRunStatus"]["runState"] == "Running"
    stopped = client.generated("Stop-AzImageBuilderTemplate", "POST", f"{path(name)}/cancel", AIB_API)
    assert (stopped.status, stopped.text) == (204, "")
    ended, _ = polled(client, started)
    assert ended.json()["status"] == "Canceled"


def test_paths_ignore_case_in_every_segment(client, service):
    created(client, "ps-case", template(service))
    upper = f"/subscriptions/{service.subscription}/resourceGroups/rg/{AIB}/ps-case".upper()
    found = client.arm("GET", upper, AIB_API)
    assert found.status == 200 and found.json()["name"] == "ps-case"
    assert client.arm("GET", upper.lower(), AIB_API).json()["id"] == found.json()["id"]


# --- Identities and galleries ---


def test_identity_is_made_without_polling(client):
    put = client.generated("New-AzUserAssignedIdentity", "PUT", f"{IDENTITIES}/ps-identity", IDENTITY_API, {
        "location": "West US 2",
    })
    assert put.status == 201
    # These would start polling.
    assert "azure-asyncoperation" not in put.headers and "provisioningState" not in put.json()["properties"]
    assert put.json()["location"] == "westus2"
    assert all(put.json()["properties"][field] for field in ("principalId", "clientId", "tenantId"))


def test_gallery_and_definition_end_with_their_first_answer(client):
    place = f"{COMPUTE}/galleries/psgallery"
    made = client.arm("PUT", place, "2022-03-03", {"location": "westus2", "properties": {}})
    assert made.status in (200, 201) and made.json()["properties"]["provisioningState"] == "Succeeded"
    for number, version in enumerate(["2023-09-01", "2024-07-01"]):
        made = client.arm("PUT", f"{place}/images/psimage{number}", version, {
            "location": "westus2",
            "properties": {
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
                "identifier": {"publisher": "p", "offer": "o", "sku": f"s{number}"},
                "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
            },
        })
        assert made.status in (200, 201), made.text
        properties = made.json()["properties"]
        assert (properties["provisioningState"], properties["osType"]) == ("Succeeded", "Linux")
        assert properties["osState"] == "Generalized"


# --- Roles and Graph ---


def role(scope, name):
    return {"properties": {
        "roleName": name, "description": "Makes images", "type": "CustomRole", "assignableScopes": [scope],
        # Old modules leave out the lists of data actions.
        "permissions": [{"actions": ["Microsoft.Compute/images/write"], "notActions": []}],
    }}


def test_custom_role_is_created_assigned_and_removed(client, service):
    group = f"/subscriptions/{service.subscription}/resourceGroups/rg"
    # The cmdlets write two slashes before `subscriptions`.
    scope = f"/{group}/{AUTHORIZATION}"
    definition = f"{scope}/roleDefinitions/{uuid.uuid4()}"
    made = client.arm("PUT", definition, ROLES_API, role(group, "Image author"))
    assert made.status == 201, made.text
    assert all(isinstance(made.json()["properties"]["permissions"][0][one], list) for one in LISTS)
    # Set-AzRoleDefinition takes no other status.
    assert client.arm("PUT", definition, ROLES_API, role(group, "Image author")).status == 201
    taken = client.arm("PUT", f"{scope}/roleDefinitions/{uuid.uuid4()}", ROLES_API, role(group, "image AUTHOR"))
    assert (taken.status, taken.code) == (409, "RoleDefinitionWithSameNameExists")
    named = client.arm("GET", f"{scope}/roleDefinitions?$filter=roleName%20eq%20'Image%20author'", ROLES_API)
    (found,) = named.json()["value"]
    assert found["id"] == made.json()["id"] and found["id"].endswith(found["name"])
    assert found["properties"]["type"] == "CustomRole" and found["properties"]["assignableScopes"] == [group]
    identity = client.generated("Get-AzUserAssignedIdentity", "GET", f"{IDENTITIES}/builder", IDENTITY_API).json()
    put = client.arm("PUT", f"{scope}/roleAssignments/{uuid.uuid4()}", ASSIGNMENTS_API, {"properties": {
        "roleDefinitionId": found["id"], "principalId": identity["properties"]["principalId"],
    }})
    assert put.status == 201 and put.json()["properties"]["roleDefinitionId"] == found["id"]
    used = client.arm("DELETE", definition, ROLES_API)
    assert (used.status, used.code) == (400, "RoleDefinitionHasAssignments")
    assert client.arm("DELETE", f"/{put.json()['id']}", ASSIGNMENTS_API).status == 200
    assert client.arm("DELETE", definition, ROLES_API).status == 200
    assert client.arm("DELETE", definition, ROLES_API).status == 204
    gone = client.arm("GET", definition, ROLES_API)
    assert (gone.status, gone.code) == (404, "RoleDefinitionDoesNotExist")


def test_lists_of_roles_have_what_the_cmdlets_dereference(client, service):
    scope = f"//subscriptions/{service.subscription}/{AUTHORIZATION}"
    for version in (ROLES_API, "2018-01-01-preview"):
        found = client.arm("GET", f"{scope}/roleDefinitions", version).json()["value"]
        assert CONTRIBUTOR in [one["name"] for one in found]
        for one in found:
            uuid.UUID(one["id"].rsplit("/", 1)[1])
            assert one["properties"]["assignableScopes"]
            assert all(isinstance(p[name], list) for p in one["properties"]["permissions"] for name in LISTS)


def test_role_is_assigned_to_an_identity_by_its_object_id(client, service):
    identity = client.generated("New-AzUserAssignedIdentity", "PUT", f"{IDENTITIES}/ps-role", IDENTITY_API, {
        "location": "westus2",
    }).json()
    principal, application = (identity["properties"][field] for field in ("principalId", "clientId"))
    # The kind of principal is found by trying.
    assert client.graph("GET", f"users/{principal}").status == 404
    found = client.graph("GET", f"servicePrincipals/{principal}")
    assert found.status == 200 and found.json()["id"] == principal
    scope = f"//subscriptions/{service.subscription}/{AUTHORIZATION}"
    name = client.arm("GET", f"{scope}/roleDefinitions?$filter=roleName%20eq%20'Contributor'", ROLES_API).json()
    assert [one["name"] for one in name["value"]] == [CONTRIBUTOR]
    put = client.arm("PUT", f"{scope}/roleAssignments/{uuid.uuid4()}", ASSIGNMENTS_API, {"properties": {
        "roleDefinitionId": name["value"][0]["id"], "principalId": principal, "principalType": "ServicePrincipal",
    }})
    assert put.status == 201, put.text
    made = put.json()
    # For display.
    assert client.arm("GET", made["properties"]["roleDefinitionId"], ROLES_API).json()["name"] == CONTRIBUTOR
    shown = client.graph("GET", f"directoryObjects/{principal}").json()
    assert shown["@odata.type"] == "#microsoft.graph.servicePrincipal" and shown["id"] == principal
    for text in (f"principalId%20eq%20'{principal}'", f"assignedTo('{principal}')", "atScope()"):
        listed = client.arm("GET", f"{scope}/roleAssignments?$filter={text}", ASSIGNMENTS_API).json()["value"]
        # Ids are compared as text.
        assert (made["id"], principal) in [(one["id"], one["properties"]["principalId"]) for one in listed], text
    # Remove-AzRoleAssignment puts another slash before the id.
    assert client.arm("DELETE", f"/{made['id']}", ASSIGNMENTS_API).status == 200
    by_application = f"servicePrincipals?$filter=servicePrincipalNames/any(c:%20c%20eq%20'{application}')"
    assert [one["id"] for one in client.graph("GET", by_application).json()["value"]] == [principal]


def test_graph_answers_what_is_absent_as_lists_and_errors(client):
    identity = client.generated("Get-AzUserAssignedIdentity", "GET", f"{IDENTITIES}/builder", IDENTITY_API).json()
    principal = identity["properties"]["principalId"]
    nobody = str(uuid.uuid4())
    for kind in ("users", "servicePrincipals", "groups", "directoryObjects"):
        absent = client.graph("GET", f"{kind}/{nobody}")
        assert (absent.status, absent.code) == (404, "Request_ResourceNotFound"), kind
    by_name = "users?$filter=userPrincipalName%20eq%20'a@b.c'"
    users = client.graph("GET", by_name, headers={"ConsistencyLevel": "eventual"})
    assert (users.status, users.json()["value"]) == (200, [])
    # Without `types`, and as many as one call may have.
    ids = [principal] + [str(uuid.uuid4()) for _ in range(999)]
    found = client.graph("POST", "directoryObjects/getByIds", {"ids": ids})
    assert found.status == 200, found.text
    assert [one["id"] for one in found.json()["value"]] == [principal]


# --- Deployments ---


def request(template, **parameters):
    return {"properties": {
        "template": template, "mode": "Incremental",
        "parameters": {name: {"value": value} for name, value in parameters.items()},
    }, "tags": {"made": "by a test"}}


OUTPUTS = {
    "names": {"type": "array", "value": "[createArray(parameters('name'))]"},
    "principal": {"type": "string", "value": "[reference(parameters('name')).principalId]"},
}


@pytest.mark.parametrize("version", [DEPLOYMENTS_API, "2020-06-01", OLD_DEPLOYMENTS_API])
def test_deployment_is_validated_made_and_watched(client, version):
    name = f"ps-deployment-{version}"
    own = f"resourcegroups/rg/providers/Microsoft.Resources/deployments/{name}"
    made = request(deployment_files.template(
        [{"type": deployment_files.IDENTITY, "apiVersion": "2023-01-31", "name": "[parameters('name')]",
          "location": "[resourceGroup().location]"}],
        parameters={"name": {"type": "String"}}, outputs=OUTPUTS,
    ), name=name)
    valid = client.arm("POST", f"{own}/validate", version, made)
    assert valid.status == 200 and "error" not in valid.json(), valid.text
    put = client.arm("PUT", own, version, made)
    assert put.status in (200, 201), put.text
    deployment, operations = deployed(client, "rg", name)
    properties = deployment["properties"]
    assert properties["provisioningState"] == "Succeeded", properties
    assert properties["mode"] == "Incremental" and properties["correlationId"] and properties["timestamp"]
    assert properties["outputs"]["names"] == {"type": "Array", "value": [name]}
    assert properties["outputs"]["principal"]["type"] == "String"
    assert properties["parameters"]["name"] == {"type": "String", "value": name}
    assert deployment["tags"] == {"made": "by a test"}
    for operation in operations:
        assert operation["operationId"] and operation["properties"]["provisioningState"] == "Succeeded"
        assert operation["properties"]["statusCode"] in ("OK", "Created")
    targets = [operation["properties"].get("targetResource", {}).get("resourceType") for operation in operations]
    assert deployment_files.IDENTITY in targets


def test_failed_deployment_names_the_resource_and_its_error(client):
    own = "resourcegroups/rg/providers/Microsoft.Resources/deployments/ps-orphan"
    assert client.arm("PUT", own, DEPLOYMENTS_API, request(deployment_files.orphan())).status == 201
    deployment, operations = deployed(client, "rg", "ps-orphan")
    assert deployment["properties"]["provisioningState"] == "Failed" and deployment["properties"]["correlationId"]
    (failed,) = [one["properties"] for one in operations if one["properties"]["provisioningState"] == "Failed"]
    # A .NET name, and an object: text would end the cmdlet.
    assert failed["statusCode"].isalpha()
    error = failed["statusMessage"]["error"]
    assert error["code"] and error["message"]
    assert failed["targetResource"]["resourceName"]


def test_role_of_a_template_is_previewed_as_created_and_then_as_unchanged(client):
    own = "resourcegroups/rg/providers/Microsoft.Resources/deployments/ps-role"
    kind = "Microsoft.Authorization/roleDefinitions"
    made = request(deployment_files.template([{
        "type": kind, "apiVersion": "2022-04-01", "name": "[guid(resourceGroup().id, 'ps-role')]",
        **role("[resourceGroup().id]", "Image reader"),
    }]))

    def preview():
        """Get-AzResourceGroupDeploymentWhatIfResult."""
        answer = client.arm("POST", f"{own}/whatIf", DEPLOYMENTS_API, made)
        assert answer.status == 200 and answer.json()["status"] == "Succeeded", answer.text
        changes = answer.json()["properties"]["changes"]
        (change,) = [one for one in changes if f"/{kind}/" in one["resourceId"]]
        return change["changeType"]

    assert preview() == "Create"
    assert client.arm("PUT", own, DEPLOYMENTS_API, made).status == 201
    deployment, _ = deployed(client, "rg", "ps-role")
    assert deployment["properties"]["provisioningState"] == "Succeeded", deployment
    assert preview() == "NoChange"


def test_invalid_template_stops_the_cmdlet_at_its_validation(client):
    own = "resourcegroups/rg/providers/Microsoft.Resources/deployments/ps-invalid"
    wrong = request(deployment_files.template([
        {"type": deployment_files.IDENTITY, "apiVersion": IDENTITY_API, "name": "[nothing()]", "location": "westus2"},
    ]))
    valid = client.arm("POST", f"{own}/validate", DEPLOYMENTS_API, wrong)
    error = valid.json()["error"]
    assert valid.status in (200, 400) and error["code"] and "nothing" in json.dumps(error)
    assert client.arm("HEAD", own, DEPLOYMENTS_API).status == 404


def test_nested_deployment_is_found_from_its_parent(client):
    own = "resourcegroups/rg/providers/Microsoft.Resources/deployments/ps-outer"
    inner = {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "ps-inner", "properties": {
        "mode": "Incremental", "template": deployment_files.template([]),
    }}
    assert client.arm("PUT", own, DEPLOYMENTS_API, request(deployment_files.template([inner]))).status == 201
    deployment, operations = deployed(client, "rg", "ps-outer")
    assert deployment["properties"]["provisioningState"] == "Succeeded"
    nested = [one["properties"]["targetResource"] for one in operations if "targetResource" in one["properties"]]
    (target,) = [one for one in nested if one["resourceType"] == "Microsoft.Resources/deployments"]
    assert client.arm("HEAD", target["id"], DEPLOYMENTS_API).status == 204
    assert client.arm("GET", f"{target['id']}/operations", DEPLOYMENTS_API).status == 200
    removed = client.arm("DELETE", own, DEPLOYMENTS_API)
    assert removed.status in (202, 204)
    assert client.arm("HEAD", own, DEPLOYMENTS_API).status == 404


def test_image_template_of_a_deployment_is_run_as_scripts_do(client, service, arm):
    """The file, then Invoke-AzResourceAction, then a loop over lastRunStatus: what most build scripts are."""
    own = "resourcegroups/rg/providers/Microsoft.Resources/deployments/ps-script"
    made = request(deployment_files.image_template(service, "rg", "ps-script"))
    assert client.arm("PUT", own, DEPLOYMENTS_API, made).status == 201
    deployment, _ = deployed(client, "rg", "ps-script")
    assert deployment["properties"]["provisioningState"] == "Succeeded", deployment
    started = client.arm("POST", f"{path('ps-script')}/Run", "2022-02-14", headers={
        "Content-Type": "application/json; charset=utf-8", "Content-Length": "0",
    })
    assert started.status == 202 and client.follow(started.headers["location"]).status == 200
    status = until(lambda: (run := last_run(arm, "ps-script")).get("runState") != "Running" and run)
    assert status["runState"] == "Succeeded", status


# --- Errors ---


def test_every_error_has_a_code_and_a_message(client, service):
    """Without them a cmdlet shows a bare exception, or ends in a null reference."""
    here = "/subscriptions/00000000-0000-0000-0000-000000000001"
    asked = [
        ("GET", path("ps-none"), AIB_API, None),
        ("POST", f"{path('ps-none')}/Run", AIB_API, None),
        ("POST", f"{path('ps-none')}/dance", AIB_API, None),
        ("PUT", path("ps-none"), AIB_API, {}),
        ("PUT", path("ps-none"), "1999-01-01", {}),
        ("GET", "providers/Microsoft.Nothing", "2021-04-01", None),
        ("GET", "resourceGroups/none", GROUPS_API, None),
        ("GET", f"{here}/resourceGroups", GROUPS_API, None),
        ("PATCH", f"{IDENTITIES}/none", IDENTITY_API, {}),
        ("GET", "resourcegroups/rg/deployments/none/operations", DEPLOYMENTS_API, None),
        ("PUT", f"{AUTHORIZATION}/roleAssignments/x", ASSIGNMENTS_API, {"properties": {}}),
        ("DELETE", f"{AUTHORIZATION}/roleDefinitions/{CONTRIBUTOR}", ROLES_API, None),
        ("PUT", f"{AUTHORIZATION}/roleDefinitions/x", ROLES_API, {}),
        ("GET", "/nowhere", "2021-04-01", None),
    ]
    for method, place, version, sent in asked:
        answer = client.arm(method, place, version, sent)
        assert answer.status >= 400, (place, answer.text)
        error = answer.json()["error"]
        assert error["code"] and error["message"], place
