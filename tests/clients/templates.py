"""The test data: a tiny image, and templates with it as source."""

import pathlib
import subprocess

URN = "Tests:tiny:1:latest"
WINDOWS_URN = "Tests:windows:1:latest"


def catalogue(data, folder):
    """Creates a catalogue with two images, an empty disk that counts as Linux or as Windows, which suffices for the
    scripted machine."""
    data = pathlib.Path(data)
    data.mkdir(parents=True, exist_ok=True)
    disk = pathlib.Path(folder) / "tiny.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M"], check=True)
    (data / "catalogue.toml").write_text(
        f'''
[[image]]
publisher = "Tests"
offer = "windows"
sku = "1"
description = "An empty disk that counts as Windows"
generation = 2
os-type = "Windows"

[[image.file]]
version = "10.0.1"
path = "{disk}"
format = "qcow2"

[[image]]
publisher = "Tests"
offer = "tiny"
sku = "1"
description = "An empty disk"
generation = 2

[[image.file]]
version = "1.0.0"
path = "{disk}"
format = "qcow2"
'''
    )


def identity(subscription, group):
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
    return {
        "type": "UserAssigned",
        "userAssignedIdentities": {
            f"{prefix}/Microsoft.ManagedIdentity/userAssignedIdentities/builder": {}
        },
    }


def source(urn=URN):
    publisher, offer, sku, version = urn.split(":")
    return {
        "type": "PlatformImage", "publisher": publisher, "offer": offer, "sku": sku, "version": version,
    }


def latest_of(definition):
    """The newest version of a gallery's definition, as a source."""
    return {"type": "SharedImageVersion", "imageVersionId": f"{definition}/versions/latest"}


def shell(*inline, **more):
    return {"type": "Shell", "inline": list(inline), **more}


def powershell(*inline, **more):
    return {"type": "PowerShell", "inline": list(inline), **more}


# The scripted machine understands `sleep forever`.
FOREVER = [shell("sleep forever")]


def managed(subscription, name, group="rg", **more):
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
    return {
        "type": "ManagedImage", "imageId": f"{prefix}/images/{name}", "location": "westus2",
        "runOutputName": "image", **more,
    }


def shared(definition, name="shared", **more):
    """A version of a gallery's definition, as a target. `more` may set its regions."""
    return {"type": "SharedImage", "runOutputName": name, "galleryImageId": definition, **more}


def vhd(name="disk", **more):
    return {"type": "VHD", "runOutputName": name, **more}


def body(service, group="rg", **properties):
    """The body of a template that prints hello and creates the image `img`; `properties` override it."""
    return {
        "location": "westus2",
        "identity": identity(service.subscription, group),
        "tags": {"made": "by a test"},
        "properties": {
            "source": source(),
            "customize": [shell("echo hello")],
            "distribute": [managed(service.subscription, "img", group)],
            **properties,
        },
    }


def whole(subscription, group, customize, distribute):
    """A template file."""
    return {
        "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "apiVersion": "2024-02-01",
        "location": "westus2",
        "identity": identity(subscription, group),
        "tags": {"made": "by a test"},
        "properties": {"source": source(), "customize": customize, "distribute": distribute},
    }


def web(subscription, group, gallery, definition):
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
    return whole(
        subscription,
        group,
        [shell("echo hello", name="hello")],
        [
            managed(subscription, "web-image", group),
            shared(f"{prefix}/galleries/{gallery}/images/{definition}", "version", replicationRegions=["westus2"]),
            vhd("vhd"),
        ],
    )


def slow(subscription, group):
    """A template whose customizer never ends."""
    return whole(subscription, group, FOREVER, [managed(subscription, "slow-image", group)])
