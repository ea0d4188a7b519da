"""What the tests build: a tiny image, and templates upon it."""

import pathlib
import subprocess

URN = "Tests:tiny:1:latest"


def catalogue(data, folder):
    """A catalogue with one image: an empty disk, which is all that the scripted machine needs."""
    data = pathlib.Path(data)
    data.mkdir(parents=True, exist_ok=True)
    disk = pathlib.Path(folder) / "tiny.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M"], check=True)
    (data / "catalogue.toml").write_text(
        f'''
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


def body(subscription, group, customize, distribute, urn=URN, **more):
    return {
        "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "apiVersion": "2024-02-01",
        "location": "westus2",
        "identity": identity(subscription, group),
        "tags": {"made": "by a test"},
        "properties": {
            "source": source(urn), "customize": customize, "distribute": distribute, **more,
        },
    }


def managed(subscription, group, name):
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
    return {
        "type": "ManagedImage", "imageId": f"{prefix}/images/{name}", "location": "westus2",
        "runOutputName": "image",
    }


def web(subscription, group, gallery, definition, urn=URN):
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
    return body(
        subscription,
        group,
        [{"type": "Shell", "name": "hello", "inline": ["echo hello"]}],
        [
            managed(subscription, group, "web-image"),
            {
                "type": "SharedImage", "runOutputName": "version",
                "galleryImageId": f"{prefix}/galleries/{gallery}/images/{definition}",
                "replicationRegions": ["westus2"],
            },
            {"type": "VHD", "runOutputName": "vhd"},
        ],
        urn,
    )


def slow(subscription, group):
    """Its customizer never ends; the scripted machine knows the word `forever`."""
    return body(
        subscription,
        group,
        [{"type": "Shell", "name": "wait", "inline": ["sleep forever"]}],
        [managed(subscription, group, "slow-image")],
    )
