"""A region that accepts connections and never answers fails its own requests and delays nothing else."""

import contextlib
import socket
import time

import pytest

from galleries import GALLERY_API, definition, gallery
from resource_manager import asks_in_group, code, create, created, finished, output, path, properties, ran, runs
from service import prepared, running, until
from templates import body, latest_of, shared, vhd

# The deadline of a region, and twice as much again for a busy machine.
PATIENCE_AND_MORE_S = 45
A_MINUTE_AND_MORE_S = 120
SOURCE_IMAGE = {"properties": {"kind": "SourceImage"}}


@contextlib.contextmanager
def silence():
    """The address of a server that never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def place(service, eastus):
    (service.data / "goldsmith.toml").write_text(f'[[region]]\nname = "eastus"\nplace = "{eastus}"\n')


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The home region is westus2. eastus can be switched to a bucket on a silent server."""
    folder = prepared(tmp_path_factory.mktemp("silent"))
    with silence() as endpoint, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eastus",
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            environment.setenv(name, value)
        (folder / "data" / "goldsmith.toml").write_text(
            f'[[region]]\nname = "eastus"\nplace = "{folder}/eastus"\n'
        )
        with running(folder, ["--trigger-interval", "1s"]) as service:
            yield service


@pytest.fixture(scope="module")
def arm(service):
    arm = asks_in_group(service)
    gallery(arm)
    return arm


def published(arm, service, name, *regions):
    """Creates a version of a new definition in these regions, and returns its id."""
    target = shared(definition(arm, name), targetRegions=[{"name": region} for region in regions])
    created(arm, name, body(service, distribute=[target]))
    assert ran(arm, name)["status"] == "Succeeded"
    return output(arm, name, "shared")["artifactId"]


def took(act):
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_unresponsive_region_delays_nothing_else(arm, service):
    far = published(arm, service, "far", "westus2", "eastus")
    near = published(arm, service, "near", "westus2")
    upon = {**body(service, source=latest_of(far.rsplit("/versions/", 1)[0]), distribute=[vhd()]), "location": "eastus"}
    created(arm, "follower", upon)
    place(service, "s3://bucket/golden")

    put = arm("PUT", f"{path('follower')}/triggers/new", json=SOURCE_IMAGE)
    assert took(lambda: finished(arm, put)) < PATIENCE_AND_MORE_S
    status = lambda: arm("GET", f"{path('follower')}/triggers/new").json()["properties"]["status"]
    assert status()["code"] == "SourceUnavailable" and "eastus: it does not answer" in status()["message"], status()

    # Its triggers are checked every second, and each check takes until the region's deadline.
    created(arm, "due", {**body(service), "tags": {"goldsmith.schedule": "* * * * *"}})
    until(lambda: runs(arm, "due"), "its time comes", A_MINUTE_AND_MORE_S)

    assert create(arm, "late", upon)["error"]["code"] == "SourceUnavailable"
    assert properties(arm, "late")["provisioningError"]["provisioningErrorCode"] == "Other"

    # A version that never reached the region can be deleted; one that did cannot.
    deleted = []
    assert took(lambda: deleted.append(arm("DELETE", near, GALLERY_API))) < PATIENCE_AND_MORE_S
    assert deleted[0].ok and arm("GET", near, GALLERY_API).status_code == 404
    refused = arm("DELETE", far, GALLERY_API)
    assert (refused.status_code, code(refused)) == (409, "Conflict") and "does not answer" in refused.text
    assert arm("GET", far, GALLERY_API).status_code == 200
    place(service, service.folder / "eastus")
    assert arm("DELETE", far, GALLERY_API).ok
    assert arm("GET", far, GALLERY_API).status_code == 404
