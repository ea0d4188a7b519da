"""Regions and storage accounts in an object store, S3's or Azure's."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest

import object_stores
from command_line import call_beside
from galleries import GALLERY_API, definition, gallery, replication
from resource_manager import create, created, last_run, output, ran
from service import until
from templates import body, shared, vhd

MIB = 1 << 20
REGIONS = ("westus2", "eastus", "japaneast")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Both stores by region, with the environment of the service."""
    with contextlib.ExitStack() as stack:
        s3, s3_environment = stack.enter_context(object_stores.s3("forge"))
        azure, azure_environment = stack.enter_context(object_stores.azure("forge", tmp_path_factory.mktemp("azure")))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {**s3_environment, **azure_environment}.items():
            environment.setenv(name, value)
        yield {"eastus": s3, "japaneast": azure}


@pytest.fixture(scope="module")
def folder(folder, stores):
    """The home region is westus2. The image is larger than one part of an upload."""
    noise = folder / "noise.raw"
    noise.write_bytes(os.urandom(40 * MIB) + bytes(24 * MIB))
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(noise), str(folder / "tiny.qcow2")]
    subprocess.run(command, check=True)
    (folder / "data" / "goldsmith.toml").write_text(
        '''
[[region]]
name = "eastus"
place = "s3://forge/regions/east"

[[region]]
name = "japaneast"
place = "az://forge/regions"

[[account]]
name = "ours"
place = "s3://forge/accounts"

[[account]]
name = "theirs"
place = "az://forge/accounts"
'''
    )
    return folder


@pytest.fixture(scope="module")
def image(arm):
    gallery(arm)
    return definition(arm, "remote")


def version(arm, service, name, image):
    target = shared(image, targetRegions=[{"name": region} for region in REGIONS])
    created(arm, name, body(service, distribute=[target]))
    ran(arm, name)
    assert last_run(arm, name)["runState"] == "Succeeded", last_run(arm, name)
    return output(arm, name, "shared")["artifactId"]


def below(store, folder):
    return {name: size for name, size in store.objects().items() if f"/{folder}/" in name}


def test_versions_are_copied_share_chunks_and_are_deleted(arm, service, stores, image):
    first = version(arm, service, "first", image)
    assert replication(arm, first)[1] == "Completed", replication(arm, first)
    sizes = {region: sum(below(store, "chunks").values()) for region, store in stores.items()}
    assert all(40 * MIB <= size < 42 * MIB for size in sizes.values()), sizes

    second = version(arm, service, "second", image)
    for region, store in stores.items():
        assert sum(below(store, "chunks").values()) == sizes[region], "the same content is there once"
        assert len(below(store, "manifests")) == 2

    assert arm("DELETE", first, GALLERY_API).ok
    until(lambda: all(len(below(store, "manifests")) == 1 for store in stores.values()), "the first is gone")
    assert sizes == {region: sum(below(store, "chunks").values()) for region, store in stores.items()}

    stored = service.data / "images/galleries" / service.subscription.lower() / "rg/g/remote" / second.rsplit("/", 1)[1]
    for region in stores:
        shutil.rmtree(stored)
        ended, said = call_beside(service, "image", "pull", second, "--region", region)
        assert ended == 0 and said["region"] == region, said
        assert (stored / "disk.qcow2").exists()

    assert arm("DELETE", second, GALLERY_API).ok
    until(lambda: not any(below(store, "chunks") or below(store, "manifests") for store in stores.values()), "all is gone")


# conformance: 87, 89
def test_vhd_is_uploaded_to_its_account_with_tags(arm, service, stores):
    targets = [
        vhd("ours", uri="https://ours.blob.core.windows.net/vhds/a/web.vhd", artifactTags={"team": "web"}),
        vhd("theirs", uri="https://theirs.blob.core.windows.net/vhds/a/web.vhd", artifactTags={"team": "web"}),
    ]
    created(arm, "disks", body(service, distribute=targets))
    ran(arm, "disks")
    assert last_run(arm, "disks")["runState"] == "Succeeded", last_run(arm, "disks")
    for store in stores.values():
        found = {name: size for name, size in store.objects().items() if name.startswith("accounts/")}
        disk = next(name for name in found if name.endswith("vhds/a/web.vhd"))
        assert found[disk] % MIB == 512 and found[disk] > 64 * MIB, "a fixed VHD ends with its footer"
        assert store.read(disk)[-512:].startswith(b"conectix")
        assert json.loads(store.read(f"{disk}.json"))["tags"] == {"team": "web"}
    assert not stores["eastus"].uploads()
