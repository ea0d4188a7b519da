"""The regions in a client's PUT of a version are applied, whatever happens to the service meanwhile."""

import os
import subprocess

import pytest

from galleries import GALLERY_API, definition, gallery, replication
from resource_manager import created, output, ran
from service import until
from templates import body, shared

NOISE_MIB = 192


@pytest.fixture(scope="module")
def folder(folder):
    """The home region is westus2, and eastus has a folder. The copy takes long enough to interrupt it."""
    noise = folder / "noise.raw"
    with noise.open("wb") as file:
        for _ in range(NOISE_MIB):
            file.write(os.urandom(1 << 20))
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(noise), str(folder / "tiny.qcow2")]
    subprocess.run(command, check=True)
    noise.unlink()
    place = f'[[region]]\nname = "eastus"\nplace = "{folder}/eastus"\n'
    (folder / "data" / "goldsmith.toml").write_text(place)
    return folder


@pytest.fixture(scope="module")
def version(arm, service):
    """Creates a version in the home region only, and returns its id."""
    gallery(arm)
    image = definition(arm, "big")
    target = shared(image, targetRegions=[{"name": "westus2"}])
    created(arm, "big", body(service, distribute=[target]))
    ran(arm, "big")
    return output(arm, "big", "shared")["artifactId"]


def put(arm, version, *regions):
    shown = arm("GET", version, GALLERY_API).json()
    shown["properties"]["publishingProfile"]["targetRegions"] = [{"name": name} for name in regions]
    update = {key: shown[key] for key in ("location", "tags", "properties")}
    assert arm("PUT", version, GALLERY_API, json=update).status_code == 200


def pieces(service, kind):
    return [path for path in (service.folder / "eastus" / kind).rglob("*") if path.is_file()]


def test_copy_resumes_after_kill_or_stop_and_is_deleted_with_its_region(arm, service, version):
    put(arm, version, "westus2", "eastus")
    for end in (service.kill, service.stop):
        before = len(pieces(service, "chunks"))
        until(lambda: len(pieces(service, "chunks")) > before + 50, "something is copied")
        end()
        assert not pieces(service, "manifests"), "it was over before the service was"
        service.start()
    until(lambda: replication(arm, version)[1] == "Completed", "the copy is there")
    assert replication(arm, version)[0] == "Succeeded"
    assert len(pieces(service, "manifests")) == 1

    put(arm, version, "westus2")
    until(lambda: not pieces(service, "manifests") and not pieces(service, "chunks"), "the copy is gone")
    assert list(replication(arm, version)[2]) == ["West US 2"]


def test_version_deleted_during_replication_leaves_no_copy(arm, service, version):
    put(arm, version, "westus2", "eastus")
    until(lambda: len(pieces(service, "chunks")) > 50, "something is copied")
    assert arm("DELETE", version, GALLERY_API).status_code in (200, 202)
    until(lambda: arm("GET", version, GALLERY_API).status_code == 404, "the version is gone")

    def is_quiet():
        notes = [path for path in (service.data / "regions" / "eastus").glob("open-*")]
        return not notes and not pieces(service, "manifests") and not pieces(service, "chunks")

    until(is_quiet, "nothing of it is in the region")
