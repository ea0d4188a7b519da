"""The Python SDKs: azure-mgmt-imagebuilder 2.0, -compute, -resource, -msi."""

import os

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.imagebuilder import ImageBuilderClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

import deployment_files
from resource_manager import asks, may_build
from service import WITHIN_S
from templates import FOREVER, body, managed, shell

GROUP = "sdk"


@pytest.fixture(scope="module")
def client(service):
    # The SDKs take certificates only from the environment.
    os.environ["REQUESTS_CA_BUNDLE"] = service.bundle
    c = service.credentials
    credential = ClientSecretCredential(
        c["tenantId"], c["clientId"], c["clientSecret"], authority=service.url,
        disable_instance_discovery=True,
    )

    def make(kind):
        return kind(
            credential, service.subscription, base_url=service.url,
            credential_scopes=[f"{service.url}/.default"],
        )

    make(ResourceManagementClient).resource_groups.create_or_update(GROUP, {"location": "westus2"})
    identity = make(ManagedServiceIdentityClient).user_assigned_identities.create_or_update(
        GROUP, "builder", {"location": "westus2"}
    )
    may_build(asks(service), identity.principal_id)
    return make


def template(service, customize=None):
    return body(
        service, GROUP, customize=customize or [shell("echo hello", name="hello")],
        distribute=[managed(service.subscription, "sdk-image", GROUP)],
    )


# conformance: 94, 103, 107, 118, 130
def test_template_is_created_run_and_deleted(service, client):
    builder = client(ImageBuilderClient)
    it = builder.virtual_machine_image_templates
    made = it.begin_create_or_update(GROUP, "t", template(service)).result()
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.customize[0].inline == ["echo hello"]
    it.begin_run(GROUP, "t").result()
    status = it.get(GROUP, "t").properties.last_run_status
    assert status.run_state == "Succeeded", status.message
    outputs = list(it.list_run_outputs(GROUP, "t"))
    assert [o.name for o in outputs] == ["image"]
    images = client(ComputeManagementClient).images
    assert images.get(GROUP, "sdk-image").provisioning_state == "Succeeded"
    patched = it.begin_update(GROUP, "t", {"tags": {"new": "tag"}}).result()
    assert patched.tags == {"new": "tag"}
    assert "t" in [x.name for x in it.list()]
    assert "t" in [x.name for x in it.list_by_resource_group(GROUP)]
    it.begin_delete(GROUP, "t").result()
    with pytest.raises(ResourceNotFoundError):
        it.get(GROUP, "t")
    assert images.get(GROUP, "sdk-image"), "what was distributed survives"


# conformance: 96, 130
def test_cancel_ends_the_run(service, client):
    it = client(ImageBuilderClient).virtual_machine_image_templates
    slow = template(service, FOREVER)
    it.begin_create_or_update(GROUP, "slow", slow).result()
    poller = it.begin_run(GROUP, "slow")
    it.begin_cancel(GROUP, "slow").result()
    with pytest.raises(HttpResponseError):
        poller.result(timeout=WITHIN_S)
    assert it.get(GROUP, "slow").properties.last_run_status.run_state == "Canceled"
    it.begin_delete(GROUP, "slow").result()


# conformance: 121, 127, 130
def test_triggers_are_created_and_deleted(service, client):
    builder = client(ImageBuilderClient)
    builder.virtual_machine_image_templates.begin_create_or_update(
        GROUP, "watched", template(service)
    ).result()
    triggers = builder.triggers
    made = triggers.begin_create_or_update(
        GROUP, "watched", "new", {"properties": {"kind": "SourceImage"}}
    ).result()
    assert made.properties.status.code == "Healthy"
    assert [t.name for t in triggers.list_by_image_template(GROUP, "watched")] == ["new"]
    triggers.begin_delete(GROUP, "watched", "new").result()
    assert list(triggers.list_by_image_template(GROUP, "watched")) == []


def test_galleries_are_created_and_listed(service, client):
    compute = client(ComputeManagementClient)
    gallery = compute.galleries.begin_create_or_update(GROUP, "g", {"location": "westus2"}).result()
    assert gallery.name == "g"
    definition = compute.gallery_images.begin_create_or_update(
        GROUP, "g", "d",
        {
            "location": "westus2",
            "properties": {
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
                "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
            },
        },
    ).result()
    assert definition.name == "d"
    assert [d.name for d in compute.gallery_images.list_by_gallery(GROUP, "g")] == ["d"]
    compute.gallery_images.begin_delete(GROUP, "g", "d").result()
    compute.galleries.begin_delete(GROUP, "g").result()


def test_bad_template_is_reported_with_code_and_field(service, client):
    it = client(ImageBuilderClient).virtual_machine_image_templates
    bad = template(service)
    del bad["properties"]["source"]
    with pytest.raises(HttpResponseError) as error:
        it.begin_create_or_update(GROUP, "bad", bad)
    assert error.value.status_code == 400
    assert error.value.error.code == "ValidationFailed"
    assert "source" in error.value.message


def test_template_is_deployed_and_listed(service, client):
    deployments = client(DeploymentsMgmtClient).deployments
    template = deployment_files.template(
        [{"type": deployment_files.IDENTITY, "apiVersion": "2023-01-31", "name": "[parameters('name')]",
          "location": "[resourceGroup().location]"}],
        parameters={"name": {"type": "string"}, "key": {"type": "securestring"}},
        outputs={"id": {"type": "string", "value": "[reference(parameters('name'), '2023-01-31', 'Full').resourceId]"}},
    )
    properties = {"mode": "Incremental", "template": template,
                  "parameters": {"name": {"value": "by-sdk"}, "key": {"value": "hidden"}}}
    assert deployments.begin_validate(GROUP, "main", {"properties": properties}).result().error is None
    made = deployments.begin_create_or_update(GROUP, "main", {"properties": properties}).result()
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.outputs["id"]["value"].endswith("userAssignedIdentities/by-sdk")
    assert "value" not in made.properties.parameters["key"]
    preview = deployments.begin_what_if(GROUP, "main", {"properties": properties}).result()
    kinds = {change.resource_id.rsplit("/")[-1]: change.change_type for change in preview.changes}
    assert kinds["by-sdk"] == "NoChange"
    assert deployments.check_existence(GROUP, "main") and not deployments.check_existence(GROUP, "none")
    assert [one.name for one in deployments.list_by_resource_group(GROUP)] == ["main"]
    assert deployments.export_template(GROUP, "main").template["contentVersion"] == "1.0.0.0"
    failing = {"mode": "Incremental", "template": deployment_files.orphan()}
    with pytest.raises(HttpResponseError) as failure:
        deployments.begin_create_or_update(GROUP, "bad", {"properties": failing}).result()
    assert failure.value.error.code == "DeploymentFailed"
    assert failure.value.error.details[0].code == "ParentResourceNotFound"
    deployments.begin_delete(GROUP, "main").result()
    with pytest.raises(ResourceNotFoundError):
        deployments.get(GROUP, "main")
