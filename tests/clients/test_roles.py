"""Roles, locks and the directory by the unmodified az command line, and what a Reader and a Contributor may do."""

import json

import pytest

import templates
from azure_cli import Az, administrator

GROUP = "Rg-Roles"


@pytest.fixture(scope="module")
def az(service, folder):
    return administrator(service, folder)


@pytest.fixture(scope="module")
def group(az, service):
    """A group with a template, whose identity may do what its runs need. Returns the group's id."""
    group = az("group", "create", "-n", GROUP, "-l", "westus2")["id"]
    identity = az("identity", "create", "-g", GROUP, "-n", "builder")
    az("role", "assignment", "create", "--assignee", identity["clientId"], "--role", "Contributor",
       "--scope", group)
    az("image", "builder", "create", "-g", GROUP, "-n", "web", "--image-source", templates.URN,
       "--managed-image-destinations", "web-image=westus2", "--identity", "builder")
    return group


@pytest.fixture(scope="module")
def other_group(az):
    return az("group", "create", "-n", "Rg-Other", "-l", "westus2")["id"]


def created(az, service, folder, name, role, scope):
    """A new service principal with a role, and its own az, signed in."""
    made = az("ad", "sp", "create-for-rbac", "-n", name, "--role", role, "--scopes", scope)
    assert made["displayName"] == name and made["tenant"] == service.tenant
    home = folder / name
    home.mkdir()
    return made["appId"], Az(service, home).login(made["appId"], made["password"])


def test_role_is_assigned_by_name_and_by_ids_at_every_scope(az, service, group):
    made = az("ad", "sp", "create-for-rbac", "-n", "assigned")
    client = made["appId"]
    principal = az("ad", "sp", "show", "--id", client)["id"]
    subscription = f"/subscriptions/{service.subscription}"
    image = az("image", "create", "-g", GROUP, "-n", "assigned", "--os-type", "Linux",
               "--source", "https://example.org/disk.vhd")["id"]

    def assign(assignee, role, scope):
        one = az("role", "assignment", "create", "--assignee", assignee, "--role", role, "--scope", scope)
        assert one["principalId"] == principal and one["principalType"] == "ServicePrincipal"
        assert one["scope"].lower() == scope.lower()
        return one

    assign(client, "Reader", subscription)
    first = assign("assigned", "Contributor", group)
    assign(principal, "Reader", image)
    # az takes the refusal of a second one as success, and shows the first one.
    assert assign(client, "Contributor", group)["name"] == first["name"]
    az("role", "assignment", "create", "--assignee-object-id", principal, "--role", "Managed Identity Operator",
       "--assignee-principal-type", "ServicePrincipal", "--scope", "/")

    def roles(*words):
        return sorted(one["roleDefinitionName"] for one in az("role", "assignment", "list", *words))

    every = az("role", "assignment", "list", "--assignee", client, "--all")
    assert len(every) == 4
    assert {one["principalName"] for one in every} == {client}
    assert roles("--assignee", client, "--scope", group) == ["Contributor"]
    assert roles("--assignee", client, "--scope", group, "--include-inherited") == [
        "Contributor", "Managed Identity Operator", "Reader",
    ]
    assert roles("--assignee", client, "--role", "Reader", "--scope", image) == ["Reader"]

    az("role", "assignment", "delete", "--assignee", "assigned", "--role", "Contributor", "--scope", group,
       parse=False)
    az("role", "assignment", "delete", "--ids", every[0]["id"], parse=False)
    left = az("role", "assignment", "list", "--assignee", client, "--all")
    assert len(left) == 2
    wrong = az("role", "assignment", "create", "--assignee-object-id", "00000002-aaaa-4aaa-8aaa-000000000002",
               "--assignee-principal-type", "User", "--role", "Reader", "--scope", group, code=1)
    assert "PrincipalNotFound" in wrong or "UnmatchedPrincipalType" in wrong


def test_role_definition_is_created_changed_and_deleted(az, folder, group):
    file = folder / "role.json"

    def write(actions):
        file.write_text(json.dumps({
            "Name": "Image Reader", "Description": "Reads images.", "Actions": actions, "NotActions": [],
            "AssignableScopes": [group],
        }))
        return str(file)

    made = az("role", "definition", "create", "--role-definition", write(["Microsoft.Compute/images/read"]))
    assert made["roleName"] == "Image Reader" and made["roleType"] == "CustomRole"
    changed = az("role", "definition", "update", "--role-definition", write(["Microsoft.Compute/images/*"]))
    assert changed["name"] == made["name"]
    assert changed["permissions"][0]["actions"] == ["Microsoft.Compute/images/*"]
    listed = az("role", "definition", "list", "--custom-role-only", "true", "--scope", group)
    assert [one["roleName"] for one in listed] == ["Image Reader"]
    assert az("role", "definition", "list", "-n", "Reader")[0]["permissions"][0]["actions"] == ["*/read"]

    client = az("ad", "sp", "create-for-rbac", "-n", "custom")["appId"]
    az("role", "assignment", "create", "--assignee", client, "--role", "Image Reader", "--scope", group)
    used = az("role", "definition", "delete", "-n", "Image Reader", "--scope", group, code=1)
    assert "RoleDefinitionHasAssignments" in used
    az("role", "assignment", "delete", "--assignee", client, "--scope", group, parse=False)
    az("role", "definition", "delete", "-n", "Image Reader", "--scope", group, parse=False)
    assert az("role", "definition", "list", "--custom-role-only", "true", "--scope", group) == []


def test_actions_and_deny_assignments_are_listed(az, service):
    compute = az("provider", "operation", "show", "--namespace", "Microsoft.Compute")
    images = next(kind for kind in compute["resourceTypes"] if kind["name"] == "images")
    assert "Microsoft.Compute/images/read" in [one["name"] for one in images["operations"]]
    assert len(az("provider", "operation", "list")) > 5
    assert az("role", "deny-assignment", "list", "--scope", f"/subscriptions/{service.subscription}") == []


def test_locked_group_is_not_deleted(az, other_group):
    name = other_group.rsplit("/", 1)[-1]
    made = az("lock", "create", "-n", "keep", "-g", name, "--lock-type", "CanNotDelete", "--notes", "why")
    assert made["level"] == "CanNotDelete" and made["id"].endswith("/locks/keep")
    az("identity", "create", "-g", name, "-n", "kept")
    az("lock", "create", "-n", "calm", "-g", name, "--lock-type", "ReadOnly", "--resource", "kept",
       "--resource-type", "Microsoft.ManagedIdentity/userAssignedIdentities")
    assert {one["name"] for one in az("lock", "list", "-g", name)} == {"keep", "calm"}
    assert az("lock", "show", "-n", "keep", "-g", name)["notes"] == "why"
    assert "ScopeLocked" in az("group", "delete", "-n", name, "--yes", code=1)
    assert "ScopeLocked" in az("identity", "update", "-g", name, "-n", "kept", "--tags", "a=b", code=1)
    updated = az("lock", "update", "-n", "keep", "-g", name, "--lock-type", "ReadOnly", "--notes", "quiet")
    assert (updated["level"], updated["notes"]) == ("ReadOnly", "quiet")
    assert "ScopeLocked" in az("identity", "create", "-g", name, "-n", "more", code=1)
    az("lock", "delete", "-n", "calm", "-g", name, "--resource", "kept",
       "--resource-type", "Microsoft.ManagedIdentity/userAssignedIdentities", parse=False)
    az("lock", "delete", "--ids", made["id"], parse=False)
    az("group", "delete", "-n", name, "--yes", parse=False)
    assert az("group", "exists", "-n", name) is False


def test_reader_sees_its_group_and_changes_nothing(az, service, folder, group):
    az("group", "create", "-n", "Rg-Hidden", "-l", "westus2")
    az("identity", "create", "-g", "Rg-Hidden", "-n", "hidden")
    client, reader = created(az, service, folder, "reader", "Reader", group)
    assert [one["name"] for one in reader("group", "list")] == [GROUP]
    assert [one["name"] for one in reader("image", "builder", "list")] == ["web"]
    assert {one["resourceGroup"].lower() for one in reader("resource", "list")} == {GROUP.lower()}
    for words in (
        ("image", "builder", "run", "-g", GROUP, "-n", "web"),
        ("group", "show", "-n", "Rg-Hidden"),
        ("identity", "create", "-g", GROUP, "-n", "mine"),
        ("lock", "create", "-n", "mine", "-g", GROUP, "--lock-type", "ReadOnly"),
        ("role", "assignment", "create", "--assignee-object-id", service.credentials["clientId"],
         "--assignee-principal-type", "ServicePrincipal", "--role", "Owner", "--scope", group),
    ):
        said = reader(*words, code=1)
        assert "AuthorizationFailed" in said and f"The client '{client}'" in said, said
    said = reader("ad", "sp", "create-for-rbac", "-n", "mine", code=1)
    assert "Directory permission is needed" in said
    seen = reader("role", "assignment", "list", "--all")
    assert all(one["scope"].lower().startswith(group.lower()) for one in seen)
    mine = [one["roleDefinitionName"] for one in seen if one["principalName"] == client]
    assert mine == ["Reader"]
    # What was taken away is gone at once.
    az("role", "assignment", "delete", "--assignee", client, "--scope", group, parse=False)
    assert "AuthorizationFailed" in reader("image", "builder", "show", "-g", GROUP, "-n", "web", code=1)


def test_contributor_runs_a_template(az, service, folder, group):
    _, contributor = created(az, service, folder, "contributor", "Contributor", group)
    contributor("image", "builder", "run", "-g", GROUP, "-n", "web", parse=False)
    shown = contributor("image", "builder", "show", "-g", GROUP, "-n", "web")
    assert shown["lastRunStatus"]["runState"] == "Succeeded", shown["lastRunStatus"]
    assert [one["name"] for one in contributor("image", "list", "-g", GROUP)].count("web-image") == 1
    said = contributor("role", "assignment", "create", "--assignee", "contributor", "--role", "Owner",
                       "--scope", group, code=1)
    assert "AuthorizationFailed" in said


def test_applications_are_shown_given_new_secrets_and_deleted(az, service, folder, group):
    client, _ = created(az, service, folder, "application", "Reader", group)
    assert az("ad", "app", "show", "--id", client)["displayName"] == "application"
    assert [one["appId"] for one in az("ad", "sp", "list", "--display-name", "applic")] == [client]
    assert [one["appId"] for one in az("ad", "app", "list", "--display-name", "application")] == [client]
    identity = az("identity", "show", "-g", GROUP, "-n", "builder")
    found = az("ad", "sp", "show", "--id", identity["clientId"])
    assert (found["id"], found["servicePrincipalType"]) == (identity["principalId"], "ManagedIdentity")

    reset = az("ad", "sp", "credential", "reset", "--id", client)
    assert len(az("ad", "sp", "credential", "list", "--id", client)) == 1
    home = folder / "reset"
    home.mkdir()
    again = Az(service, home).login(client, reset["password"])
    assert again("account", "show")["id"] == service.subscription

    az("ad", "sp", "delete", "--id", client, parse=False)
    az("ad", "sp", "show", "--id", client, code=3)
    said = again("group", "show", "-n", GROUP, code=1)
    assert "az login" in said or "AADSTS" in said, said
    made = az("ad", "app", "create", "--display-name", "later")
    assert az("ad", "sp", "create", "--id", made["appId"])["appId"] == made["appId"]
    az("ad", "app", "delete", "--id", made["id"], parse=False)
    assert az("ad", "app", "list", "--display-name", "later") == []
