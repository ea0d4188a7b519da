"""The unmodified az command line, from login to the deletion of all resources."""

import json

import pytest

import deployment_files
import templates
import windows_files
from azure_cli import administrator

WITHIN_S = "120"


@pytest.fixture(scope="module")
def world(service, folder):
    return administrator(service, folder), service, folder


def builder(az, group, name):
    """An identity that may build images in its group."""
    made = az("identity", "create", "-g", group, "-n", name)
    scope = made["id"].split("/providers/")[0]
    az("role", "assignment", "create", "--assignee", made["clientId"], "--role", "Contributor", "--scope", scope)


@pytest.fixture(scope="module")
def group(world):
    az, _, _ = world
    made = az("group", "create", "-n", "Rg-One", "-l", "westus2", "--tags", "a=b")
    assert made["properties"]["provisioningState"] == "Succeeded"
    builder(az, "Rg-One", "builder")
    az("sig", "create", "-g", "Rg-One", "-r", "gallery1")
    az("sig", "image-definition", "create", "-g", "Rg-One", "-r", "gallery1", "-i", "web",
       "-p", "me", "-f", "web", "-s", "1", "--os-type", "Linux")
    return "Rg-One"


def test_account_is_listed(world):
    az, service, _ = world
    assert az("account", "show")["id"] == service.subscription
    assert any(place["name"] == "westus2" for place in az("account", "list-locations"))


def test_groups_are_created_listed_and_deleted(world, group):
    az, _, _ = world
    assert az("group", "exists", "-n", "rg-one") is True
    assert az("group", "exists", "-n", "other") is False
    assert [g["name"] for g in az("group", "list")] .count("Rg-One") == 1
    assert "ResourceGroupNotFound" in az("group", "show", "-n", "other", code=3)
    az("group", "create", "-n", "away", "-l", "westus2")
    az("identity", "create", "-g", "away", "-n", "gone")
    az("group", "delete", "-n", "away", "--yes")
    assert az("group", "exists", "-n", "away") is False


def test_identities_and_galleries_are_created(world, group):
    az, service, _ = world
    identity = az("identity", "show", "-g", group, "-n", "builder")
    assert identity["tenantId"] == service.tenant and identity["principalId"]
    assert az("sig", "show", "-g", group, "-r", "gallery1")["identifier"]["uniqueName"].endswith("-GALLERY1")
    definitions = az("sig", "image-definition", "list", "-g", group, "-r", "gallery1")
    assert [d["name"] for d in definitions] == ["web"]


# conformance: 103, 128
def test_template_from_a_file_runs_and_creates_its_outputs(world, group):
    az, service, folder = world
    file = folder / "template.json"
    file.write_text(json.dumps(templates.web(service.subscription, group, "gallery1", "web")))
    made = az("image", "builder", "create", "-g", group, "-n", "web", "--image-template", str(file))
    assert made["provisioningState"] == "Succeeded"
    assert made["source"]["type"] == "PlatformImage" and made["source"]["exactVersion"]
    assert made["customize"][0]["inline"], "the subtypes' fields came through"
    az("image", "builder", "run", "-g", group, "-n", "web", parse=False)
    shown = az("image", "builder", "show", "-g", group, "-n", "web")
    assert shown["lastRunStatus"]["runState"] == "Succeeded", shown["lastRunStatus"]
    outputs = az("image", "builder", "show-runs", "-g", group, "-n", "web")
    assert sorted(o["name"] for o in outputs) == ["image", "version", "vhd"]
    one = az("image", "builder", "show-runs", "-g", group, "-n", "web", "--output-name", "image")
    assert one["artifactId"].lower().endswith("/images/web-image")
    az("image", "builder", "show-runs", "-g", group, "-n", "web", "--output-name", "none", code=3)
    versions = az("sig", "image-version", "list", "-g", group, "-r", "gallery1", "-i", "web")
    assert len(versions) == 1
    version = az("sig", "image-version", "show", "-g", group, "-r", "gallery1", "-i", "web",
                 "-e", versions[0]["name"])
    assert version["provisioningState"] == "Succeeded"
    assert [i["name"] for i in az("image", "list", "-g", group)] == ["web-image"]
    assert az("image", "show", "-g", group, "-n", "web-image")["provisioningState"] == "Succeeded"


# conformance: 26, 128
def test_second_template_of_the_same_name_is_rejected(world, group):
    az, service, folder = world
    file = folder / "again.json"
    file.write_text(json.dumps(templates.web(service.subscription, group, "gallery1", "web")))
    az("image", "builder", "create", "-g", group, "-n", "twice", "--image-template", str(file))
    said = az("image", "builder", "create", "-g", group, "-n", "twice", "--image-template",
              str(file), code=1)
    assert "not supported" in said
    az("image", "builder", "delete", "-g", group, "-n", "twice", parse=False)


# conformance: 128, 130
def test_template_is_created_by_flags_and_deferred(world, group):
    az, _, _ = world
    made = az("image", "builder", "create", "-g", group, "-n", "flags", "--image-source",
              templates.URN, "--managed-image-destinations", "flags-image=westus2",
              "--identity", "builder")
    assert made["provisioningState"] == "Succeeded"
    assert made["vmProfile"]["osDiskSizeGb"] == 0
    az("image", "builder", "create", "-g", group, "-n", "later", "--image-source", templates.URN,
       "--managed-image-destinations", "later-image=westus2", "--identity", "builder", "--defer")
    az("image", "builder", "customizer", "add", "-g", group, "-n", "later", "--customizer-name",
       "say", "--type", "shell", "--inline-script", "echo hello", "--defer")
    updated = az("image", "builder", "update", "-g", group, "-n", "later")
    assert updated["customize"][0]["inline"] == ["echo hello"]
    az("image", "builder", "delete", "-g", group, "-n", "later", parse=False)


# conformance: 108, 109, 132
def test_identity_of_a_template_is_assigned_and_removed(world, group):
    az, _, _ = world
    builder(az, group, "other")
    az("image", "builder", "create", "-g", group, "-n", "who", "--image-source", templates.URN,
       "--managed-image-destinations", "who-image=westus2", "--identity", "builder")
    shown = az("image", "builder", "identity", "show", "-g", group, "-n", "who")
    assert len(shown["userAssignedIdentities"]) == 1
    removed = az("image", "builder", "identity", "remove", "-g", group, "-n", "who",
                 "--user-assigned", "builder", "--yes")
    assert removed["identity"]["type"] == "None" if "identity" in removed else removed["type"] == "None"
    az("image", "builder", "identity", "assign", "-g", group, "-n", "who", "--user-assigned", "other")
    shown = az("image", "builder", "identity", "show", "-g", group, "-n", "who")
    assert list(shown["userAssignedIdentities"])[0].lower().endswith("/other")
    az("image", "builder", "delete", "-g", group, "-n", "who", parse=False)


# conformance: 131
def test_triggers_are_created_shown_and_deleted(world, group):
    az, _, _ = world
    az("image", "builder", "create", "-g", group, "-n", "watched", "--image-source", templates.URN,
       "--managed-image-destinations", "watched-image=westus2", "--identity", "builder")
    where = ["-g", group, "--image-template-name", "watched"]
    made = az("image", "builder", "trigger", "create", *where, "-n", "new", "--kind", "SourceImage")
    assert made["status"]["code"] == "Healthy"
    assert len(az("image", "builder", "trigger", "list", *where)) == 1
    assert az("image", "builder", "trigger", "show", *where, "-n", "new")["kind"] == "SourceImage"
    az("image", "builder", "trigger", "delete", *where, "-n", "new", "--yes", parse=False)
    assert az("image", "builder", "trigger", "list", *where) == []


# conformance: 96, 100, 128, 130
def test_run_is_canceled(world, group):
    az, service, folder = world
    file = folder / "slow.json"
    file.write_text(json.dumps(templates.slow(service.subscription, group)))
    az("image", "builder", "create", "-g", group, "-n", "slow", "--image-template", str(file))
    az("image", "builder", "run", "-g", group, "-n", "slow", "--no-wait", parse=False)
    refused = az("image", "builder", "delete", "-g", group, "-n", "slow", code=1)
    assert "OperationNotAllowed" in refused
    az("image", "builder", "cancel", "-g", group, "-n", "slow", parse=False)
    az("image", "builder", "wait", "-g", group, "-n", "slow", "--interval", "1", "--timeout", WITHIN_S,
       "--custom", "lastRunStatus.runState=='Canceled'", parse=False)
    az("image", "builder", "delete", "-g", group, "-n", "slow", parse=False)
    az("image", "builder", "show", "-g", group, "-n", "slow", code=3)


# conformance: 5, 129
def test_whole_template_is_created_as_a_resource(world, group):
    az, service, folder = world
    file = folder / "whole.json"
    file.write_text(json.dumps(templates.web(service.subscription, group, "gallery1", "web")))
    kind = "Microsoft.VirtualMachineImages/imageTemplates"
    made = az("resource", "create", "-g", group, "-n", "whole", "--resource-type", kind,
              "--api-version", "2024-02-01", "--is-full-object", "--properties", f"@{file}")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az("image", "builder", "show", "-g", group, "-n", "whole")["distribute"][2]["type"] == "VHD"
    az("image", "builder", "delete", "-g", group, "-n", "whole", parse=False)


# conformance: 5
def test_generic_resource_commands_accept_templates(world, group):
    az, service, _ = world
    kind = "Microsoft.VirtualMachineImages/imageTemplates"
    az("image", "builder", "create", "-g", group, "-n", "any", "--image-source", templates.URN,
       "--managed-image-destinations", "any-image=westus2", "--identity", "builder")
    assert az("resource", "show", "-g", group, "-n", "any", "--resource-type", kind)["name"] == "any"
    assert "any" in [r["name"] for r in az("resource", "list", "-g", group)]
    assert "any" in [r["name"] for r in az("resource", "list", "--resource-type", kind)]
    rest = az("rest", "--method", "get", "--url",
              f"{service.url}/subscriptions/{service.subscription}/resourceGroups/{group}?api-version=2024-11-01")
    assert rest["name"] == group
    az("resource", "delete", "-g", group, "-n", "any", "--resource-type", kind, parse=False)
    assert az("provider", "show", "-n", "Microsoft.VirtualMachineImages")["registrationState"] == "Registered"
    images = az("vm", "image", "list", "--all", "-l", "westus2", "-p", "Tests")
    assert images and images[0]["urn"].startswith("Tests:tiny:")


# conformance: 5, 26
def test_resources_of_any_type_accept_tags_updates_and_actions(world, group):
    az, _, _ = world
    kind = "Microsoft.VirtualMachineImages/imageTemplates"
    az("image", "builder", "create", "-g", group, "-n", "acted", "--image-source", templates.URN,
       "--managed-image-destinations", "acted-image=westus2", "--identity", "builder")
    one = ["-g", group, "-n", "acted", "--resource-type", kind]
    # az appends the name of the action as typed, so it may contain capitals.
    az("resource", "invoke-action", *one, "--action", "Run")
    shown = az("image", "builder", "show", "-g", group, "-n", "acted")
    assert shown["lastRunStatus"]["runState"] == "Succeeded"
    # These two read and write the whole body, which an image template rejects, as in Azure.
    assert "not supported" in az("resource", "tag", *one, "--tags", "x=y", code=1)
    assert "not supported" in az("resource", "update", *one, "--set", "tags.x=y", code=1)
    identity = ["-n", "builder", "--resource-type", "Microsoft.ManagedIdentity/userAssignedIdentities"]
    assert az("resource", "tag", "-g", group, *identity, "--tags", "x=y")["tags"] == {"x": "y"}
    gallery = ["-n", "gallery1", "--resource-type", "Microsoft.Compute/galleries"]
    updated = az("resource", "update", "-g", group, *gallery, "--set", "tags.z=w")
    assert updated["tags"]["z"] == "w"
    az("image", "delete", "-g", group, "-n", "acted-image", parse=False)
    az("image", "show", "-g", group, "-n", "acted-image", code=3)


def test_providers_and_features_are_listed(world):
    az, _, _ = world
    assert "Microsoft.Compute" in [p["namespace"] for p in az("provider", "list")]
    az("provider", "register", "-n", "Microsoft.VirtualMachineImages", "--wait", parse=False)
    feature = az("feature", "register", "--namespace", "Microsoft.VirtualMachineImages",
                 "-n", "VirtualMachineTemplatePreview")
    assert feature["properties"]["state"] == "Registered"
    assert az("vm", "list-skus", "-l", "westus2", "--query", "[0].resourceType") == "virtualMachines"


def test_networks_and_storage_accounts_are_created(world, group):
    az, service, _ = world
    made = az("network", "vnet", "create", "-g", group, "-n", "net", "--address-prefix",
              "10.0.0.0/16", "--subnet-name", "sub", "--subnet-prefix", "10.0.0.0/24")
    assert made["newVNet"]["subnets"][0]["provisioningState"] == "Succeeded"
    subnet = az("network", "vnet", "subnet", "update", "-g", group, "--vnet-name", "net", "-n", "sub",
                "--private-link-service-network-policies", "Disabled")
    assert subnet["privateLinkServiceNetworkPolicies"] == "Disabled"
    create = ["image", "builder", "create", "-g", group, "-n", "inside", "--image-source",
              templates.URN, "--managed-image-destinations", "inside-image=westus2", "--identity",
              "builder", "--vnet", "net", "--subnet", "sub"]
    refused = az(*create, code=1)
    assert "vnetConfig.subnetId" in refused and "[[subnet]]" in refused, refused
    with open(service.data / "goldsmith.toml", "a", encoding="utf-8") as config:
        config.write(f'\n[[subnet]]\nid = "{subnet["id"]}"\nbridge = "br0"\n')
    built = az(*create)
    assert built["vmProfile"]["vnetConfig"]["subnetId"].lower() == subnet["id"].lower()
    account = az("storage", "account", "create", "-g", group, "-n", "goldsmithtests", "-l", "westus2",
                 "--sku", "Standard_LRS")
    assert account["provisioningState"] == "Succeeded"
    keys = az("storage", "account", "keys", "list", "-g", group, "-n", "goldsmithtests")
    assert [key["keyName"] for key in keys] == ["key1", "key2"]


def test_roles_locks_and_tags_are_accepted(world, group):
    az, service, _ = world
    identities = {i["name"]: i for i in az("identity", "list", "-g", group)}
    client, principal = (identities["builder"][field] for field in ("clientId", "principalId"))
    scope = f"/subscriptions/{service.subscription}/resourceGroups/{group}"
    role = ["--assignee", client, "--role", "Reader", "--scope", scope]

    def readers():
        assignments = az("role", "assignment", "list", "--scope", scope)
        return [a["principalId"] for a in assignments if a["roleDefinitionName"] == "Reader"]

    assert az("role", "assignment", "create", *role)["principalId"] == principal
    assert readers() == [principal]
    az("role", "assignment", "delete", *role, parse=False)
    assert readers() == []
    assert az("lock", "list", "-g", group) == []
    assert az("tag", "list", "--resource-id", scope)["properties"]["tags"] == {"a": "b"}
    names = {tag["tagName"]: tag for tag in az("tag", "list")}
    assert "b" in [value["tagValue"] for value in names["a"]["values"]]


def test_outputs_validators_and_error_handlers_are_combined_before_creation(world, group):
    az, _, _ = world
    one = ["-g", group, "-n", "parts"]

    def part(*words):
        az("image", "builder", *words, *one, "--defer", parse=False)

    part("create", "--image-source", templates.URN, "--identity", "builder",
         "--managed-image-destinations", "parts-image=westus2")
    part("output", "add", "--output-name", "disk", "--is-vhd")
    part("output", "add", "--gallery-name", "gallery1", "--gallery-image-definition", "web",
         "--gallery-replication-regions", "westus2", "--output-name", "version")
    part("validator", "add", "--dis-on-failure")
    part("error-handler", "add", "--on-customizer-error", "abort",
         "--on-validation-error", "cleanup")
    part("optimizer", "add", "--enable-vm-boot", "true")
    part("output", "remove", "--output-name", "disk")
    made = az("image", "builder", "update", *one)
    assert sorted(o["runOutputName"] for o in made["distribute"]) == ["parts-image", "version"]
    assert made["validate"]["continueDistributeOnFailure"] is True
    assert made["errorHandling"] == {"onCustomizerError": "abort", "onValidationError": "cleanup"}
    assert made["optimize"]["vmBoot"]["state"] == "Enabled"
    az("image", "builder", "run", *one, parse=False)
    shown = az("image", "builder", "show", *one)
    assert shown["lastRunStatus"]["runState"] == "Succeeded", shown["lastRunStatus"]
    outputs = az("image", "builder", "show-runs", *one)
    assert sorted(output["name"] for output in outputs) == ["parts-image", "version"], outputs


# conformance: 128
def test_windows_template_is_combined_of_every_customizer_and_built(world, group, scripts):
    az, service, _ = world
    scripts.files.update({"/setup.ps1": b"echo from the address\r\n", "/tool.zip": b"content"})
    az("sig", "image-definition", "create", "-g", group, "-r", "gallery1", "-i", "desktop", "-p", "me", "-f", "desktop",
       "-s", "1", "--os-type", "Windows", "--hyper-v-generation", "V2")
    one = ["-g", group, "-n", "desktop"]

    def part(*words):
        az("image", "builder", *words, *one, "--defer", parse=False)

    def step(name, kind, *words):
        part("customizer", "add", "--customizer-name", name, "--type", kind, *words)

    part("create", "--image-source", templates.WINDOWS_URN, "--identity", "builder", "--managed-image-destinations",
         "desktop-image=westus2", "--shared-image-destinations", "gallery1/desktop=westus2")
    step("inline", "powershell", "--inline-script", "echo inline", "exit 3", "--exit-codes", "0", "3")
    step("address", "powershell", "--script-url", f"{scripts.url}/setup.ps1")
    step("restart", "windows-restart", "--restart-check-command", "echo up", "--restart-timeout", "10m")
    step("copy", "file", "--file-source", f"{scripts.url}/tool.zip", "--dest-path", "C:\\tools\\tool.zip")
    step("update", "windows-update", "--search-criteria", "IsInstalled=0", "--filters",
         "exclude:$_.Title -like '*Preview*'", "include:$true", "--update-limit", "20")
    made = az("image", "builder", "update", *one)
    assert made["provisioningState"] == "Succeeded", made
    assert [step["type"] for step in made["customize"]] == [
        "PowerShell", "PowerShell", "WindowsRestart", "File", "WindowsUpdate",
    ]
    az("image", "builder", "run", *one, parse=False)
    shown = az("image", "builder", "show", *one)
    assert shown["lastRunStatus"]["runState"] == "Succeeded", shown["lastRunStatus"]
    image = az("image", "show", "-g", group, "-n", "desktop-image")
    assert image["storageProfile"]["osDisk"]["osType"] == "Windows"
    assert len(az("sig", "image-version", "list", "-g", group, "-r", "gallery1", "-i", "desktop")) == 1


# conformance: 103
def test_windows_template_from_a_file_is_created(world, group, scripts):
    az, service, folder = world
    scripts.files.update({"/setup.ps1": b"echo from the address\r\n", "/tool.zip": b"content"})
    made = windows_files.windows(service, "from-file", group, customize=windows_files.steps(scripts.url))
    kind = {"type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01"}
    file = folder / "windows.json"
    file.write_text(json.dumps(kind | made))
    made = az("image", "builder", "create", "-g", group, "-n", "windows", "--image-template", str(file))
    assert made["provisioningState"] == "Succeeded"
    assert (made["customize"][1]["runElevated"], made["customize"][1]["runAsSystem"]) == (True, True)
    az("image", "builder", "delete", "-g", group, "-n", "windows", parse=False)


# conformance: 86, 102, 136
def test_staging_group_shows_blobs_and_machine(world, group):
    az, service, folder = world
    file = folder / "staged.json"
    made = templates.slow(service.subscription, group)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["echo asleep", "sleep forever"]}]
    file.write_text(json.dumps(made))
    az("image", "builder", "create", "-g", group, "-n", "staged", "--image-template", str(file))
    az("image", "builder", "run", "-g", group, "-n", "staged", "--no-wait", parse=False)
    az("image", "builder", "wait", "-g", group, "-n", "staged", "--interval", "1", "--timeout", WITHIN_S,
       "--custom", "lastRunStatus.runSubState=='Customizing'", parse=False)
    shown = az("image", "builder", "show", "-g", group, "-n", "staged")
    staging = shown["exactStagingResourceGroup"].split("/")[-1]
    assert az("group", "show", "-n", staging)["tags"]["imageTemplateName"] == "staged"
    found = {one["type"].split("/")[-1]: one["name"] for one in az("resource", "list", "-g", staging)}
    assert set(found) >= {"storageAccounts", "virtualMachines", "disks", "networkInterfaces"}, found
    name = found["storageAccounts"]
    account = az("storage", "account", "show", "-g", staging, "-n", name)
    machine = az("vm", "list", "-g", staging)[0]
    view = az("vm", "get-instance-view", "-g", staging, "-n", machine["name"])
    assert "PowerState/running" in [status["code"] for status in view["instanceView"]["statuses"]]
    assert "OperationNotAllowed" in az("vm", "delete", "-g", staging, "-n", machine["name"], "--yes", code=1)
    assert az("network", "nic", "list", "-g", staging)[0]["virtualMachine"]["id"] == machine["id"]
    assert az("disk", "list", "-g", staging)[0]["managedBy"] == machine["id"]

    login = ["--blob-endpoint", account["primaryEndpoints"]["blob"], "--auth-mode", "login"]
    assert [c["name"] for c in az("storage", "container", "list", *login)] == ["packerlogs"]
    log = az("storage", "blob", "list", "-c", "packerlogs", *login)[0]["name"]
    az("storage", "blob", "download", "-c", "packerlogs", "-n", log, "-f", str(folder / "log"), *login, parse=False)
    assert "PACKER OUT asleep" in (folder / "log").read_text()
    az("image", "builder", "cancel", "-g", group, "-n", "staged", parse=False)
    az("image", "builder", "wait", "-g", group, "-n", "staged", "--interval", "1", "--timeout", WITHIN_S,
       "--custom", "lastRunStatus.runState=='Canceled'", parse=False)
    assert az("vm", "list", "-g", staging) == []
    # The run of the template `web` has created a VHD as a blob.
    uri = az("image", "builder", "show-runs", "-g", group, "-n", "web", "--output-name", "vhd")["artifactUri"]
    endpoint, container, blob = uri.rsplit("/", 2)
    login = ["--blob-endpoint", endpoint, "--auth-mode", "login"]
    az("storage", "blob", "download", "-c", container, "-n", blob, "-f", str(folder / "vhd"), *login, parse=False)
    assert (folder / "vhd").read_bytes()[-512:-504] == b"conectix"
    az("image", "builder", "delete", "-g", group, "-n", "staged", parse=False)
    assert az("group", "exists", "-n", staging) is False


def test_gallery_version_is_deleted_alone(world, group):
    az, _, _ = world
    definition = ["-g", group, "-r", "gallery1", "-i", "web"]
    version = az("sig", "image-version", "list", *definition)[0]["name"]
    az("sig", "image-version", "delete", *definition, "-e", version, parse=False)
    az("sig", "image-version", "show", *definition, "-e", version, code=3)
    left = az("sig", "image-version", "list", *definition)
    assert version not in [one["name"] for one in left], left


def test_identities_are_created_and_deleted(world, group):
    az, _, _ = world
    az("identity", "create", "-g", group, "-n", "brief")
    az("identity", "delete", "-g", group, "-n", "brief", parse=False)
    assert "brief" not in [identity["name"] for identity in az("identity", "list")]


def test_template_file_is_deployed_as_it_is(world, group):
    az, _, folder = world
    file = deployment_files.write(folder, "commented", deployment_files.COMMENTED)
    where = ["-g", group, "-n", "commented"]
    given = ["--template-file", file, "--parameters", "name=made", "count=2"]
    valid = az("deployment", "group", "validate", *where, *given)
    assert valid["properties"]["provisioningState"] == "Succeeded"
    preview = az("deployment", "group", "what-if", *where, *given, "--no-pretty-print")
    changes = {c["resourceId"].rsplit("/")[-1]: c["changeType"] for c in preview["changes"]}
    assert changes["made-0"] == changes["made-1"] == "Create" and changes["builder"] == "Ignore"
    made = az("deployment", "group", "create", *where, *given)
    assert made["properties"]["provisioningState"] == "Succeeded"
    first = az("identity", "show", "-g", group, "-n", "made-0")
    assert made["properties"]["outputs"]["first"] == {"type": "String", "value": first["principalId"]}
    assert made["properties"]["parameters"]["count"] == {"type": "Int", "value": 2}
    again = az("deployment", "group", "what-if", *where, *given, "--no-pretty-print")
    assert {c["changeType"] for c in again["changes"]} == {"NoChange", "Ignore"}
    assert "no change" in az("deployment", "group", "what-if", *where, *given, parse=False)
    assert az("deployment", "group", "show", *where)["id"] == made["id"]
    assert "commented" in [d["name"] for d in az("deployment", "group", "list", "-g", group)]
    operations = az("deployment", "operation", "group", "list", "-g", group, "-n", "commented")
    assert sorted(o["properties"]["provisioningOperation"] for o in operations) == [
        "Create", "Create", "EvaluateDeploymentOutput"]
    exported = az("deployment", "group", "export", *where)
    assert exported["outputs"]["first"]["type"] == "string"
    az("deployment", "group", "wait", *where, "--exists", parse=False)
    az("deployment", "group", "delete", *where, parse=False)
    assert "DeploymentNotFound" in az("deployment", "group", "show", *where, code=3)
    for name in ("made-0", "made-1"):
        az("identity", "delete", "-g", group, "-n", name, parse=False)


def test_image_template_is_deployed_with_its_identity_and_role(world, group):
    az, service, folder = world
    file = deployment_files.write(folder, "image", deployment_files.image_template(service, group, "by-file"))
    az("deployment", "group", "create", "-g", group, "--template-file", file)
    assert az("image", "builder", "show", "-g", group, "-n", "by-file")["provisioningState"] == "Succeeded"
    preview = az("deployment", "group", "what-if", "-g", group, "--template-file", file, "--no-pretty-print")
    own = [c for c in preview["changes"] if c["changeType"] != "Ignore"]
    assert [c["changeType"] for c in own] == ["NoChange"] * 3, own
    az("resource", "invoke-action", "-g", group, "-n", "by-file", "--action", "Run",
       "--resource-type", "Microsoft.VirtualMachineImages/imageTemplates")
    shown = az("image", "builder", "show", "-g", group, "-n", "by-file")
    assert shown["lastRunStatus"]["runState"] == "Succeeded"
    # An image template cannot be written twice, as in Azure.
    said = az("deployment", "group", "create", "-g", group, "--template-file", file, code=1)
    assert "DeploymentFailed" in said and "not supported" in said
    az("image", "builder", "delete", "-g", group, "-n", "by-file", parse=False)


def test_errors_of_deployments_are_printed_with_their_causes(world, group):
    az, _, folder = world
    file = deployment_files.write(folder, "orphan", deployment_files.orphan())
    said = az("deployment", "group", "create", "-g", group, "--template-file", file, code=1)
    assert "DeploymentFailed" in said and "ParentResourceNotFound" in said
    file = deployment_files.write(folder, "wrong", deployment_files.template([], outputs={
        "a": {"type": "string", "value": "[concat('a', parameters('none'))]"}}))
    said = az("deployment", "group", "create", "-g", group, "--template-file", file, code=1)
    assert "none" in said
    file = deployment_files.write(folder, "unknown", deployment_files.template([
        {"type": "Microsoft.Sql/servers", "apiVersion": "2021-11-01", "name": "s", "location": "westus2"}]))
    said = az("deployment", "group", "validate", "-g", group, "--template-file", file, code=1)
    assert "InvalidTemplateDeployment" in said and "Microsoft.Compute/galleries" in said


def test_deployment_is_canceled(world, group):
    az, service, folder = world
    file = deployment_files.write(folder, "canceled", deployment_files.template([]))
    az("deployment", "group", "create", "-g", group, "--template-file", file, "--no-wait", parse=False)
    az("deployment", "group", "wait", "-g", group, "-n", "canceled", "--created", "--interval", "1", parse=False)
    said = az("deployment", "group", "cancel", "-g", group, "-n", "canceled", code=1)
    assert "DeploymentCannotBeCancelled" in said


def test_subscription_deployment_makes_a_group(world):
    az, _, folder = world
    file = deployment_files.write(folder, "wide", deployment_files.subscription("Rg-Deployed"))
    given = ["-l", "westus2", "-n", "wide", "--template-file", file]
    assert az("deployment", "sub", "validate", *given)["properties"]["provisioningState"] == "Succeeded"
    made = az("deployment", "sub", "create", *given)
    assert made["location"] == "westus2" and made["properties"]["provisioningState"] == "Succeeded"
    assert az("identity", "show", "-g", "Rg-Deployed", "-n", "inside")["location"] == "westus2"
    assert az("deployment", "sub", "show", "-n", "wide")["id"] == made["id"]
    assert [d["name"] for d in az("deployment", "sub", "list")] == ["wide"]
    assert [d["name"] for d in az("deployment", "group", "list", "-g", "Rg-Deployed")] == ["inside"]
    assert len(az("deployment", "operation", "sub", "list", "-n", "wide")) == 3
    az("group", "delete", "-n", "Rg-Deployed", "--yes")


def test_template_spec_is_created_deployed_and_exported(world, group):
    az, _, folder = world
    files = folder / "spec"
    (files / "parts").mkdir(parents=True)
    inner = deployment_files.write(files / "parts", "inner", deployment_files.identity("by-part"))
    main = deployment_files.write(files, "main", deployment_files.linking("parts/inner.json"))
    spec = ["-g", group, "-n", "web"]
    one = [*spec, "-v", "1.0"]
    made = az("ts", "create", *one, "-l", "westus2", "--template-file", main, "--display-name", "Web",
              "--description", "Of the web", "--version-description", "first", "--tags", "a=b", "--yes")
    assert made["description"] == "first" and made["tags"] == {"a": "b"}
    assert [linked["path"] for linked in made["linkedTemplates"]] == ["parts/inner.json"]
    shown = az("ts", "show", *spec)
    assert (shown["displayName"], shown["description"], shown["versions"]) == ("Web", "Of the web", ["1.0"])
    assert az("ts", "show", "--template-spec", made["id"])["mainTemplate"] == json.loads(open(main).read())

    az("ts", "update", *one, "--version-description", "second", "--yes")
    changed = az("ts", "show", *one)
    assert changed["description"] == "second" and len(changed["linkedTemplates"]) == 1
    az("ts", "update", *spec, "--display-name", "Renamed", "--yes")
    assert [s["displayName"] for s in az("ts", "list", "-g", group)] == ["Renamed"]
    assert [s["name"] for s in az("ts", "list")] == ["web"]
    assert [v["name"] for v in az("ts", "list", *spec)] == ["1.0"]

    given = ["-g", group, "--template-spec", made["id"], "--parameters", "name=by-spec"]
    preview = az("deployment", "group", "what-if", *given, "--no-pretty-print")
    created = {c["resourceId"].rsplit("/")[-1] for c in preview["changes"] if c["changeType"] == "Create"}
    assert created == {"by-spec", "by-part"}
    deployed = az("deployment", "group", "create", *given)
    assert deployed["properties"]["templateLink"]["id"] == made["id"]
    for name in created:
        az("identity", "delete", "-g", group, "-n", name, parse=False)

    (folder / "exported").mkdir()
    az("ts", "export", *one, "--output-folder", str(folder / "exported"), parse=False)
    for name, file in [("web.JSON", main), ("parts/inner.json", inner)]:
        assert json.loads((folder / "exported" / name).read_text()) == json.loads(open(file).read())
    az("ts", "delete", *one, "--yes", parse=False)
    assert az("ts", "show", *spec)["versions"] == []
    az("ts", "delete", *spec, "--yes", parse=False)
    assert "ResourceNotFound" in az("ts", "show", *spec, code=3)
    wrong = deployment_files.write(files, "wrong", {"resources": []})
    said = az("ts", "create", *one, "-l", "westus2", "--template-file", wrong, "--yes", code=1)
    assert "InvalidTemplate" in said


def test_deleting_a_group_deletes_its_resources(world, group):
    az, _, _ = world
    az("image", "builder", "delete", "-g", group, "-n", "web", parse=False)
    az("group", "delete", "-n", group, "--yes")
    assert az("group", "exists", "-n", group) is False
    assert az("resource", "list", "--query", f"[?resourceGroup=='{group}']") == []
