"""Templates upon Windows: accepted, shown and built as by Azure. The guests are simulated."""

import json
import os

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.imagebuilder import ImageBuilderClient, models

from command_line import call_beside
from galleries import GALLERY_API, definition, gallery
from resource_manager import (
    COMPUTE, begun, cancel, code, create, created, finished, last_run, output, path, properties, ran, run_ids, shown,
)
from service import until
from templates import body, managed, powershell, shared, shell, source
from web_files import serving
from windows_files import desktop, steps, windows

IMAGE_API = "2024-07-01"
DEPLOYMENTS = "resourceGroups/rg/providers/Microsoft.Resources/deployments"
DEPLOYMENT_API = "2022-09-01"


@pytest.fixture(scope="module")
def scripts():
    with serving({"/setup.ps1": b"echo from the address\r\n", "/tool.zip": bytes(range(256)) * 64}) as files:
        yield files


@pytest.fixture(scope="module")
def galleries(arm):
    """Definitions of both systems."""
    gallery(arm)
    return definition(arm, "windows", osType="Windows"), definition(arm, "linux")


def succeeded(arm, name):
    done = ran(arm, name)
    assert done["status"] == "Succeeded", (done, last_run(arm, name))


def log(arm, name):
    return arm("GET", f"{path(name)}/runs/{run_ids(arm, name)[0]}/log").text


def failed(arm, name, made):
    """The error of a template that cannot be created."""
    done = create(arm, name, made)
    assert done["status"] == "Failed", done
    error = properties(arm, name)["provisioningError"]
    return error["provisioningErrorCode"], error["message"]


def test_every_customizer_of_windows_is_accepted_shown_and_run(arm, service, scripts, galleries):
    made = windows(
        service, "all", customize=steps(scripts.url), optimize={"vmBoot": {"state": "Enabled"}},
        validate={"inVMValidations": [powershell("echo it works", name="look")]},
        distribute=[
            managed(service.subscription, "all"), shared(galleries[0], "version", replicationRegions=["westus2"]),
        ],
    )
    created(arm, "all", made)
    inline, by_address, restart, file, update = properties(arm, "all")["customize"]
    assert (inline["inline"], inline["validExitCodes"]) == (["echo inline", "exit 3"], [0, 3])
    assert (by_address["runElevated"], by_address["runAsSystem"]) == (True, True)
    assert len(by_address["sha256Checksum"]) == 64 and len(file["sha256Checksum"]) == 64
    assert (restart["restartTimeout"], restart["restartCommand"]) == ("10m", "")
    assert update["filters"] == ["exclude:$_.Title -like '*Preview*'", "include:$true"]
    succeeded(arm, "all")
    text = log(arm, "all")
    for line in ("inline", "from the address", "an update that is only simulated"):
        assert line in text, text
    image = arm("GET", f"{COMPUTE}/images/all", IMAGE_API).json()["properties"]
    disk = image["storageProfile"]["osDisk"]
    assert (disk["osType"], disk["osState"]) == ("Windows", "Generalized")
    version = output(arm, "all", "version")["artifactId"]
    shown_version = arm("GET", version, GALLERY_API).json()
    assert shown_version["properties"]["provisioningState"] == "Succeeded"


def test_built_windows_image_is_a_source_of_windows(arm, service):
    created(arm, "first", windows(service, "base"))
    succeeded(arm, "first")
    prefix = f"/subscriptions/{service.subscription}/{COMPUTE}"
    again = {"type": "ManagedImage", "imageId": f"{prefix}/images/base"}
    created(arm, "second", windows(service, "upon-base", source=again, customize=[powershell("echo again")]))
    succeeded(arm, "second")
    assert "again" in log(arm, "second")
    refused = failed(arm, "third", body(service, source=again, customize=[shell("true")]))
    assert refused[0] == "UnsupportedCustomizerType", refused


def test_imported_windows_image_is_listed_and_built_upon(arm, service, folder):
    disk = str(folder / "tiny.qcow2")
    ended, said = call_beside(service, "image", "import", "own-windows", disk, "--os", "windows")
    assert ended == 0, said
    record = said["image"]
    assert (record["osType"], record["firstContact"]) == ("Windows", "unattend")
    own = {"type": "ManagedImage", "imageId": record["id"]}
    created(arm, "imported", windows(service, "of-own", source=own))
    succeeded(arm, "imported")
    ended, said = call_beside(service, "image", "ls")
    built = [image for image in said["images"] if image["name"] == "of-own"]
    assert [image["osType"] for image in built] == ["Windows"]


@pytest.mark.parametrize("more, error, says", [
    ({"customize": [shell("true")]}, "UnsupportedCustomizerType", "customizer type Shell is for Linux"),
    ({"validate": {"inVMValidations": [shell("true")]}}, "UnsupportedValidatorType",
     "validator type Shell is for Linux"),
])
def test_step_of_linux_is_refused_upon_windows(arm, service, more, error, says):
    name = f"refused-{error.lower()}"
    refused, message = failed(arm, name, windows(service, "none", **more))
    assert refused == error and says in message and "the source is Windows" in message, message


def test_workload_is_refused_upon_windows(arm, service, scripts):
    workload = {"state": "Enabled", "scriptUri": f"{scripts.url}/setup.ps1"}
    made = windows(service, "none", optimize={"workload": workload})
    done = finished(arm, arm("PUT", path("warmed"), "2025-10-01", json=made))
    assert done["status"] == "Failed", done
    assert "the script of a workload is a shell script" in done["error"]["message"], done


def test_definition_takes_images_of_its_own_system(arm, service, galleries):
    of_windows, of_linux = galleries
    for name, made, says in [
        ("to-linux", windows(service, "none", distribute=[shared(of_linux)]), "the source has osType Windows"),
        ("to-windows", body(service, distribute=[shared(of_windows)]), "the source has osType Linux"),
    ]:
        refused, message = failed(arm, name, made)
        assert refused == "BadSharedImageDistribute" and says in message, message


@pytest.mark.parametrize("made, says", [
    (powershell("echo before", "exit 5", name="breaks"), "5"),
    (powershell("exit 5", runElevated=True, name="breaks", validExitCodes=[0, 3010]), "5"),
])
def test_exit_code_that_is_not_valid_fails_the_run(arm, service, made, says):
    name = "breaks" if "runElevated" not in made else "breaks-elevated"
    created(arm, name, windows(service, "none", customize=[made]))
    assert ran(arm, name)["status"] == "Failed"
    status = last_run(arm, name)
    assert status["runState"] == "Failed" and "breaks" in status["message"] and says in status["message"], status


def test_failed_validator_of_windows_fails_the_run(arm, service):
    validate = {"inVMValidations": [powershell("echo look", "exit 7", name="look")]}
    created(arm, "invalid", windows(service, "none", validate=validate))
    assert ran(arm, "invalid")["status"] == "Failed"
    assert "look" in last_run(arm, "invalid")["message"]


@pytest.mark.parametrize("more", [{}, {"runElevated": True}])
def test_sleeping_script_of_windows_is_canceled(arm, service, more):
    name = f"sleeps-{len(more)}"
    created(arm, name, windows(service, "none", customize=[powershell("echo asleep", "sleep forever", **more)]))
    run = begun(arm, name)
    until(lambda: last_run(arm, name).get("runSubState") == "Customizing", "the script runs")
    cancel(arm, name, run)


def test_machine_of_a_run_shows_its_system(arm, service):
    created(arm, "seen", windows(service, "none", customize=[powershell("sleep forever")]))
    run = begun(arm, "seen")
    group = properties(arm, "seen")["exactStagingResourceGroup"].rsplit("/", 1)[-1]
    vms = f"resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines"
    vm = until(lambda: arm("GET", vms, "2024-07-01").json().get("value"), "the machine is listed")[0]
    assert vm["properties"]["storageProfile"]["osDisk"]["osType"] == "Windows"
    disks = arm("GET", f"resourceGroups/{group}/providers/Microsoft.Compute/disks", "2024-03-02").json()["value"]
    assert [disk["properties"]["osType"] for disk in disks if "osType" in disk["properties"]] == ["Windows"]
    cancel(arm, "seen", run)


def test_catalogue_shows_the_system_of_its_images(arm):
    image = "providers/Microsoft.Compute/locations/westus2/publishers/Tests/artifacttypes/vmimage/offers/windows/skus/1"
    version = arm("GET", f"{image}/versions/10.0.1", IMAGE_API).json()
    assert version["properties"]["osDiskImage"]["operatingSystem"] == "Windows"


def test_deployment_for_virtual_desktops_is_deployed_and_its_template_built(arm, service, scripts):
    parameters = {
        "identityName": "avd", "galleryName": "desktops", "definitionName": "multi-session", "templateName": "desktop",
    }
    put = arm("PUT", f"{DEPLOYMENTS}/desktop", DEPLOYMENT_API, json={"properties": {
        "mode": "Incremental", "template": desktop(scripts.url),
        "parameters": {name: {"value": value} for name, value in parameters.items()},
    }})
    assert put.status_code == 201, put.text

    def over():
        deployed = arm("GET", f"{DEPLOYMENTS}/desktop", DEPLOYMENT_API).json()["properties"]
        return deployed if deployed["provisioningState"] in ("Succeeded", "Failed") else None

    deployed = until(over, "it is deployed")
    assert deployed["provisioningState"] == "Succeeded", json.dumps(deployed["error"], indent=1)
    made = shown(arm, "desktop")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["customize"][0]["runAsSystem"] is True
    succeeded(arm, "desktop")
    versions = f"{COMPUTE}/galleries/desktops/images/multi-session/versions"
    assert len(arm("GET", versions, GALLERY_API).json()["value"]) == 1


def test_sdk_creates_and_reads_the_customizers_of_windows(arm, service, scripts):
    c = service.credentials
    credential = ClientSecretCredential(
        c["tenantId"], c["clientId"], c["clientSecret"], authority=service.url, disable_instance_discovery=True,
    )
    os.environ["REQUESTS_CA_BUNDLE"] = service.bundle
    client = ImageBuilderClient(
        credential, service.subscription, base_url=service.url, credential_scopes=[f"{service.url}/.default"],
    )
    it = client.virtual_machine_image_templates
    made = it.begin_create_or_update("rg", "typed", windows(service, "typed", customize=steps(scripts.url))).result()
    kinds = [type(step) for step in made.properties.customize]
    assert kinds == [
        models.ImageTemplatePowerShellCustomizer, models.ImageTemplatePowerShellCustomizer,
        models.ImageTemplateRestartCustomizer, models.ImageTemplateFileCustomizer,
        models.ImageTemplateWindowsUpdateCustomizer,
    ]
    assert made.properties.customize[1].run_as_system is True
    it.begin_run("rg", "typed").result()
    assert it.get("rg", "typed").properties.last_run_status.run_state == "Succeeded"


def test_identities_of_scripts_are_a_warning(arm, service):
    made = windows(service, "none")
    made["properties"]["vmProfile"] = {"userAssignedIdentities": list(made["identity"]["userAssignedIdentities"])}
    created(arm, "asks", made)
    succeeded(arm, "asks")
    assert "cannot use vmProfile.userAssignedIdentities" in log(arm, "asks")
