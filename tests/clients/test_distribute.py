"""Distributors: rejected targets, artifacts, and copies in regions."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from command_line import beside, call_beside
from galleries import GALLERY_API, definition, gallery, replication
from resource_manager import code, create, created, finished, last_run, output, path, properties, ran
from service import until
from templates import body, latest_of, managed, shared, vhd


@pytest.fixture(scope="module")
def folder(folder):
    """The home region is westus2. eastus has a folder, japaneast a folder on an unmounted disk."""
    # Data to copy.
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 3M", str(folder / "tiny.qcow2")],
        check=True, stdout=subprocess.DEVNULL,
    )
    (folder / "data" / "goldsmith.toml").write_text(
        f'''
[[region]]
name = "East US"
place = "{folder}/eastus"

[[region]]
name = "japaneast"
place = "{folder}/mount/japaneast"

[[account]]
name = "images"
place = "{folder}/blobs"
'''
    )
    return folder


@pytest.fixture(scope="module")
def arm(arm):
    gallery(arm)
    return arm


def targets(*names):
    return [{"name": name} for name in names]


def failed(arm, name, made):
    """The error of a failed creation: the operation's code, and the template's code and message."""
    ended = create(arm, name, made)
    assert ended["status"] == "Failed", ended
    error = properties(arm, name)["provisioningError"]
    assert ended["error"]["message"] == error["message"]
    return ended["error"]["code"], error["provisioningErrorCode"], error["message"]


def result(arm, name):
    """Runs the template and returns its `lastRunStatus`."""
    ran(arm, name)
    return last_run(arm, name)


def delivered(arm, service, name, *distribute):
    """The outputs of a template and its run, by name."""
    created(arm, name, body(service, distribute=list(distribute)))
    status = result(arm, name)
    assert status["runState"] == "Succeeded", status
    return {target["runOutputName"]: output(arm, name, target["runOutputName"]) for target in distribute}


def version_of(arm, service, name, target):
    """Runs a template with this target and returns the id of the new version."""
    return delivered(arm, service, name, target)["shared"]["artifactId"]


def files(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file())


def whole(place):
    """The complete chunks of a region; incomplete ones have a `#` in their names."""
    return {chunk for chunk in files(place / "chunks") if "#" not in chunk.name}


# conformance: 74, 75, 76, 78, 79, 82, 90
def test_bad_target_in_the_template_is_rejected_at_once(arm, service):
    image = definition(arm, "refused")
    target = managed(service.subscription, "img")

    def without(whole, field):
        return {key: value for key, value in whole.items() if key != field}

    region = {"targetRegions": targets("westus2")}
    cases = [
        ([target, {**target, "type": "ManagedImage"}], "ValidationFailed", "runOutputName"),
        ([target, without({**target, "runOutputName": "b"}, "imageId")], "ValidationFailed", "distribute[1]"),
        ([without(target, "location")], "ValidationFailed", "location"),
        ([without(target, "runOutputName")], "ValidationFailed", "runOutputName"),
        ([shared(image, **region, replicationRegions=["westus2"])], "ValidationFailed", "exclude each other"),
        ([shared(image, **region, storageAccountType="Standard_LRS")], "ValidationFailed", "replicationRegions"),
        ([shared(image, targetRegions=[{"name": "westus2", "replicaCount": 0}])], "ValidationFailed", "replicaCount"),
        ([shared(image, targetRegions=[{"replicaCount": 1}])], "ValidationFailed", "name"),
        ([shared(image, **region, versioning={"scheme": "Latest", "major": -2})], "ValidationFailed", "major"),
        ([shared(image, **region, versioning={"scheme": "Newest"})], "ValidationFailed", "scheme"),
        ([{"type": "Floppy", "runOutputName": "f"}], "BadDistributeType", "Floppy"),
        ([vhd(uri="https://images.blob.core.windows.net/vhds/x.vhd?sig=1")], "ValidationFailed", "token"),
    ]
    for distribute, expected, text in cases:
        answer = arm("PUT", path("refused"), json=body(service, distribute=distribute))
        assert (answer.status_code, code(answer)) == (400, expected), answer.text
        assert text in answer.text, answer.text
    old = arm("PUT", path("refused"), "2022-02-14", json=body(service, distribute=[shared(image)]))
    assert old.status_code == 400 and "replicationRegions" in old.text
    accepted = shared(
        image, replicationRegions=["westus2"], storageAccountType="Standard_ZRS",
        versioning={"scheme": "Latest", "major": -1},
    )
    created(arm, "accepted", body(service, distribute=[accepted]))


# conformance: 77, 85
def test_missing_target_fails_the_creation(arm, service):
    image = definition(arm, "missing")
    target = managed(service.subscription, "img")
    blob = "https://other.blob.core.windows.net/vhds/x.vhd"
    bad_gallery = "BadSharedImageDistribute"
    cases = [
        (shared(image.replace("/g/", "/none/"), targetRegions=targets("westus2")), bad_gallery,
         "properties.distribute[0].galleryImageId"),
        (shared(f"{image}x", targetRegions=targets("westus2")), bad_gallery,
         "properties.distribute[0].galleryImageId"),
        (shared(image, replicationRegions=["eastus"]), bad_gallery,
         "properties.distribute[0].replicationRegions"),
        (shared(image, targetRegions=targets("westus2", "mars")), bad_gallery,
         "properties.distribute[0].targetRegions[1].name"),
        ({**target, "imageId": target["imageId"].replace("/rg/", "/none/")}, "ValidationFailed",
         "properties.distribute[0].imageId"),
        ({**target, "location": "mars"}, "ValidationFailed", "properties.distribute[0].location"),
        (vhd(uri=blob), "ValidationFailed", "properties.distribute[0].uri"),
    ]
    for number, (wrong, expected, field) in enumerate(cases):
        got, provisioning, message = failed(arm, f"missing{number}", body(service, distribute=[wrong]))
        assert got == expected and provisioning in (expected, "Other"), (got, provisioning)
        assert f"(at '{field}')" in message and "To fix it: " in message, message
    nowhere = body(service, distribute=[shared(image, targetRegions=targets("mars"))])
    assert "westus2, eastus, japaneast" in failed(arm, "missing", nowhere)[2]


# conformance: 81, 82, 83
def test_versions_get_consecutive_numbers(arm, service):
    image = definition(arm, "numbered")
    source = arm("GET", image, GALLERY_API).json()["id"]
    for number in ["0.1.1", "0.1.2", "1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "2.0.1", "2.1.0"]:
        made = arm("PUT", f"{image}/versions/{number}", GALLERY_API, json={
            "location": "westus2",
            "properties": {"storageProfile": {"osDiskImage": {"source": {"uri": "https://x/y.vhd"}}}},
        })
        assert made.status_code == 201, made.text
    assert source == image
    cases = [({"scheme": "Latest"}, "2.1.1"), ({"scheme": "Latest", "major": 1}, "1.2.1"),
             ({"scheme": "Latest", "major": 0}, "0.1.3"), ({"scheme": "Latest", "major": -1}, "2.1.2"),
             ({"scheme": "Latest", "major": 5}, "5.0.0")]
    for number, (versioning, expected) in enumerate(cases):
        target = shared(image, targetRegions=targets("westus2"), versioning=versioning)
        assert version_of(arm, service, f"numbered{number}", target) == f"{image}/versions/{expected}"
    target = shared(definition(arm, "sourced"), targetRegions=targets("westus2"), versioning={"scheme": "Source"})
    assert version_of(arm, service, "sourced", target).endswith("/sourced/versions/1.0.0")
    # A deleted number is reused only if the template names it.
    assert arm("DELETE", f"{image}/versions/5.0.0", GALLERY_API).status_code in (200, 202, 204)
    target = shared(f"{image}/versions/5.0.0", targetRegions=targets("westus2"))
    assert version_of(arm, service, "again", target) == f"{image}/versions/5.0.0"


# conformance: 80
def test_explicit_version_is_created_once(arm, service):
    image = definition(arm, "explicit")
    target = shared(f"{image}/versions/1.2.3", targetRegions=targets("westus2"))
    delivered(arm, service, "explicit", target)
    again = result(arm, "explicit")
    assert again["runState"] == "Failed" and "1.2.3" in again["message"], again
    got, _, message = failed(arm, "taken", body(service, distribute=[target]))
    assert got == "VersionConflict" and "(at 'properties.distribute[0].galleryImageId')" in message


# conformance: 45, 46, 84
def test_latest_is_the_highest_that_is_not_excluded(arm, service):
    image = definition(arm, "latest")
    versions = [
        version_of(
            arm, service, f"latest{number}",
            shared(image, targetRegions=targets("westus2"), excludeFromLatest=excluded),
        )
        for number, excluded in enumerate([False, False, True])
    ]
    assert [version.rsplit("/", 1)[1] for version in versions] == ["0.0.1", "0.0.2", "0.0.3"]
    profile = arm("GET", versions[2], GALLERY_API).json()["properties"]["publishingProfile"]
    assert profile["excludeFromLatest"] is True
    made = body(service, source=latest_of(image))
    created(arm, "from-latest", made)
    assert properties(arm, "from-latest")["source"]["exactVersion"] == versions[1]
    assert result(arm, "from-latest")["runState"] == "Succeeded"
    old = arm("PUT", path("from-latest-old"), "2022-02-14", json=made)
    assert old.status_code == 400 and "latest" in old.text


def test_version_is_copied_to_its_regions_and_deleted_with_them(arm, service):
    image = definition(arm, "copied")
    target = shared(image, targetRegions=[
        {"name": "West US 2"},
        {"name": "eastus", "replicaCount": 3, "storageAccountType": "Premium_LRS"},
    ])
    version = version_of(arm, service, "copied", target)
    regions = arm("GET", version, GALLERY_API).json()["properties"]["publishingProfile"]["targetRegions"]
    assert regions == [
        {"name": "West US 2", "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"},
        {"name": "East US", "regionalReplicaCount": 3, "storageAccountType": "Premium_LRS"},
    ]
    state, aggregated, summary = replication(arm, version)
    assert (state, aggregated) == ("Succeeded", "Completed")
    assert [region["progress"] for region in summary.values()] == [100, 100]
    place = service.folder / "eastus"
    manifest = [p for p in files(place / "manifests") if "copied" in str(p)]
    assert [p.name for p in manifest] == ["0.0.1.json"] and files(place / "chunks")

    # A missing copy is not reported as present.
    aside = manifest[0].rename(place / "kept")
    assert replication(arm, version)[1:] == ("Failed", {
        "West US 2": {"region": "West US 2", "state": "Completed", "details": "", "progress": 100},
        "East US": {"region": "East US", "state": "Failed", "details": "the copy was removed", "progress": 0},
    })
    aside.rename(manifest[0])
    assert arm("DELETE", version, GALLERY_API).status_code in (200, 202, 204)
    assert not manifest[0].exists()
    assert arm("GET", version, GALLERY_API).status_code == 404


# conformance: 76
def test_version_without_regions_is_in_the_gallery_region(arm, service):
    gallery(arm, "east", "eastus")
    image = definition(arm, "default", "east", "eastus")
    version = version_of(arm, service, "default", shared(image))
    state, aggregated, summary = replication(arm, version)
    assert (state, aggregated, list(summary)) == ("Succeeded", "Completed", ["East US"])
    assert any("/east/default/" in str(p) for p in files(service.folder / "eastus" / "manifests"))


# conformance: 88
def test_failed_region_is_reported_and_others_have_the_version(arm, service):
    image = definition(arm, "partly")
    distribute = [
        shared(image, targetRegions=targets("westus2", "eastus", "japaneast")),
        managed(service.subscription, "partly"),
        vhd(),
    ]
    created(arm, "partly", body(service, distribute=distribute))
    status = result(arm, "partly")
    assert status["runState"] == "PartiallySucceeded", status
    assert "1 images out of total 3" in status["message"] and "japaneast" in status["message"]
    assert output(arm, "partly", "image")["artifactId"].endswith("/images/partly")
    assert output(arm, "partly", "disk")["artifactUri"]
    assert arm("GET", f"{path('partly')}/runOutputs/shared").status_code == 404
    version = f"{image}/versions/0.0.1"
    state, aggregated, summary = replication(arm, version)
    assert (state, aggregated) == ("Failed", "Failed")
    states = {name: region["state"] for name, region in summary.items()}
    assert states == {"West US 2": "Completed", "East US": "Completed", "Japan East": "Failed"}
    assert "mount" in summary["Japan East"]["details"]

    (service.folder / "mount").mkdir()
    try:
        ended, said = call_beside(service, "image", "replicate", version, "eastus", "japaneast")
        assert ended == 0, said
        moved = [region["copied"]["movedChunks"] for region in said["regions"]]
        assert moved[0] == 0 and moved[1] > 0, said
        shown = arm("GET", version, GALLERY_API).json()
        assert shown["properties"]["provisioningState"] == "Succeeded"
        assert replication(arm, version)[:2] == ("Succeeded", "Completed")
        # The next run creates another version from the same chunks.
        assert result(arm, "partly")["runState"] == "Succeeded"
        assert replication(arm, f"{image}/versions/0.0.2")[1] == "Completed"
    finally:
        shutil.rmtree(service.folder / "mount")


def test_region_added_later_gets_a_copy(arm, service):
    image = definition(arm, "later")
    version = version_of(arm, service, "later", shared(image, targetRegions=targets("westus2")))
    shown = arm("GET", version, GALLERY_API).json()
    shown["properties"]["publishingProfile"]["targetRegions"] = targets("westus2", "eastus")
    update = {key: shown[key] for key in ("location", "tags", "properties")}
    assert arm("PUT", version, GALLERY_API, json=update).status_code == 200
    until(lambda: replication(arm, version)[1] == "Completed", "the copy is there")
    assert replication(arm, version)[0] == "Succeeded"


def test_source_must_be_in_the_region_of_the_template(arm, service):
    image = definition(arm, "origin")
    here = version_of(arm, service, "origin-here", shared(image, targetRegions=targets("westus2")))
    there = version_of(arm, service, "origin-there", shared(image, targetRegions=targets("westus2", "eastus")))
    newest = version_of(arm, service, "origin-new", shared(image, targetRegions=targets("westus2")))

    def upon(version, location):
        source = {"type": "SharedImageVersion", "imageVersionId": version}
        return {**body(service, source=source, distribute=[vhd()]), "location": location}

    got, provisioning, message = failed(arm, "astray", upon(here, "eastus"))
    assert got == provisioning == "BadSharedImageVersionSource"
    assert "not replicated to the template's region eastus" in message, message
    latest = f"{image}/versions/latest"
    for location, expected in [("eastus", there), ("westus2", newest)]:
        name = f"latest-in-{location}"
        created(arm, name, upon(latest, location))
        assert properties(arm, name)["source"]["exactVersion"] == expected

    # The region's copy suffices: the disk in the local store is lost.
    stored = service.data / "images" / "galleries" / service.subscription.lower() / "rg" / "g" / "origin"
    shutil.rmtree(stored / there.rsplit("/", 1)[1])
    assert result(arm, "latest-in-eastus")["runState"] == "Succeeded"
    assert (stored / there.rsplit("/", 1)[1] / "disk.qcow2").exists()
    shutil.rmtree(stored / there.rsplit("/", 1)[1])
    ended, said = call_beside(service, "image", "pull", there)
    assert ended == 0 and said["region"] == "eastus", said


def excluded(arm, version):
    """Excludes a version from `latest`."""
    shown = arm("GET", version, GALLERY_API).json()
    shown["properties"]["publishingProfile"]["excludeFromLatest"] = True
    update = {key: shown[key] for key in ("location", "tags", "properties")}
    assert arm("PUT", version, GALLERY_API, json=update).status_code == 200


# conformance: 46, 84
def test_latest_without_a_version_fails_template_and_run(arm, service):
    image = definition(arm, "withdrawn")
    version = version_of(arm, service, "withdrawn", shared(image, targetRegions=targets("westus2")))
    made = body(service, source=latest_of(image), distribute=[vhd()])
    got, provisioning, message = failed(arm, "abroad", {**made, "location": "eastus"})
    assert got == provisioning == "BadSharedImageVersionSource"
    assert "not replicated to the template's region eastus" in message, message

    created(arm, "before", made)
    excluded(arm, version)
    got, provisioning, message = failed(arm, "after", made)
    assert got == provisioning == "BadSharedImageVersionSource"
    assert "excluded from latest: 0.0.1" in message, message
    status = result(arm, "before")
    assert status["runState"] == "Failed" and "excluded from latest" in status["message"], status
    made["properties"]["source"] = {"type": "SharedImageVersion", "imageVersionId": version}
    created(arm, "by-number", made)


def test_unreachable_region_has_no_latest(arm, service):
    image = definition(arm, "cut-off")
    created(arm, "cut-off", body(service, distribute=[shared(image, targetRegions=targets("westus2", "japaneast"))]))
    ran(arm, "cut-off")
    made = {**body(service, source=latest_of(image), distribute=[vhd()]), "location": "japaneast"}
    got, provisioning, message = failed(arm, "unasked", made)
    assert (got, provisioning) == ("SourceUnavailable", "Other") and "region japaneast" in message, message


def test_version_in_an_undefined_region_is_rejected(arm, service):
    image = definition(arm, "placeless")
    version = version_of(arm, service, "placeless", shared(image, targetRegions=targets("westus2")))
    shown = arm("GET", version, GALLERY_API).json()
    update = {key: shown[key] for key in ("location", "tags", "properties")}
    update["properties"]["publishingProfile"]["targetRegions"] = targets("westus2", "westeurope")
    refused = arm("PUT", version, GALLERY_API, json=update)
    assert (refused.status_code, code(refused)) == (400, "InvalidParameter"), refused.text
    error = refused.json()["error"]
    assert error["target"].endswith("targetRegions[1].name"), error
    assert "the regions are westus2, eastus, japaneast" in error["message"], error


# conformance: 86, 87, 88, 89
def test_three_kinds_of_targets_have_their_tags(arm, service):
    image = definition(arm, "kinds")
    uri = "https://images.blob.core.windows.net/vhds/web/one.vhd"
    tags = {"team": "web", "empty": None}
    distribute = [
        managed(service.subscription, "kinds", artifactTags=tags),
        shared(image, targetRegions=targets("westus2"), artifactTags=tags),
        vhd("staged", artifactTags=tags),
        vhd("given", uri=uri, artifactTags=tags),
    ]
    made = delivered(arm, service, "kinds", *distribute)
    for name, version in [("image", "2024-07-01"), ("shared", GALLERY_API)]:
        artifact = arm("GET", made[name]["artifactId"], version).json()
        assert artifact["tags"]["team"] == "web", artifact
        assert artifact["tags"].get("empty") in (None, "")
    assert "artifactId" not in made["staged"] and made["staged"]["artifactUri"]
    assert made["given"]["artifactUri"] == uri
    blob = service.folder / "blobs" / "vhds" / "web" / "one.vhd"
    assert blob.read_bytes()[-512:].startswith(b"conectix")
    beside = json.loads(pathlib.Path(f"{blob}.json").read_text())
    assert beside["tags"]["team"] == "web"
    first = blob.stat().st_ino
    assert result(arm, "kinds")["runState"] == "Succeeded"
    assert blob.stat().st_ino != first, "the next run replaces the blob and the managed image"
    assert arm("GET", made["image"]["artifactId"], "2024-07-01").status_code == 200
    unfinished = [p for p in files(service.folder / "blobs") if ".partial" in p.name]
    assert not unfinished


def test_image_of_a_run_is_updated_like_az_does(arm, service):
    image = delivered(arm, service, "updated", managed(service.subscription, "updated"))["image"]["artifactId"]
    shown = arm("GET", image, "2024-11-01").json()
    shown["tags"] = {"stage": "tested"}
    answer = arm("PUT", image, "2024-11-01", json=shown)
    assert answer.status_code == 200, answer.text
    assert arm("GET", image, "2024-11-01").json() == shown
    other = {**shown, "properties": {**shown["properties"], "hyperVGeneration": "V1"}}
    refused = arm("PUT", image, "2024-11-01", json=other)
    assert refused.status_code == 409 and code(refused) == "PropertyChangeNotAllowed", refused.text


# conformance: 110, 111
def test_targets_of_a_template_change_but_are_not_removed(arm, service):
    image = definition(arm, "patched")
    target = shared(image, targetRegions=targets("westus2"))
    disk = vhd()
    create(arm, "patched", body(service, distribute=[target, disk]))

    def patch(*distribute):
        return arm("PATCH", path("patched"), json={"properties": {"distribute": list(distribute)}})

    gone = patch(target)
    assert gone.status_code == 400 and "Deleting a distribution target is not allowed" in gone.text
    incomplete = patch(target, disk, {"type": "SharedImage", "runOutputName": "more"})
    assert incomplete.status_code == 400 and "Missing field" in incomplete.text
    moved = {**target, "targetRegions": targets("westus2", "eastus")}
    assert finished(arm, patch(moved, disk))["status"] == "Succeeded"
    distribute = properties(arm, "patched")["distribute"]
    assert [region["name"] for region in distribute[0]["targetRegions"]] == ["westus2", "eastus"]


def test_killed_copy_is_not_listed_and_resumes(arm, service):
    image = definition(arm, "killed")
    version = f"{image}/versions/1.0.0"
    disk = service.folder / "noise.raw"
    with disk.open("wb") as file:
        for _ in range(192):
            file.write(os.urandom(1 << 20))
    qcow2 = disk.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(qcow2)], check=True)
    ended, said = call_beside(service, "image", "import", version, str(qcow2))
    assert ended == 0, said
    place = service.folder / "eastus"
    before = whole(place)
    copying = subprocess.Popen(
        beside(service, "image", "replicate", version, "eastus"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def has_begun():
        assert copying.poll() is None, "it was over before it could be killed"
        return len(whole(place)) >= len(before) + 20

    # Kills early, because on a slow machine this is already late.
    until(has_begun)
    copying.kill()
    copying.wait()
    arrived = len(whole(place)) - len(before)
    assert not [p for p in files(place / "manifests") if "/killed/" in str(p)]

    def state():
        replication = call_beside(service, "image", "show", version)[1]["replication"]
        return {shown["region"]: shown["state"] for shown in replication}

    assert state()["eastus"] == "Failed"
    ended, said = call_beside(service, "image", "pull", version.replace("1.0.0", "latest"))
    assert ended != 0
    ended, said = call_beside(service, "image", "replicate", version, "eastus")
    assert ended == 0, said
    copied = said["regions"][0]["copied"]
    assert 0 < copied["movedChunks"] <= copied["chunks"] - arrived, copied
    assert state()["eastus"] == "Completed"
    ended, said = call_beside(service, "image", "rm", version)
    assert ended == 0 and said["regions"] == ["eastus"], said
    assert set(files(place / "chunks")) <= before, "nothing is left, no half of a chunk either"


def test_shallow_replication_copies_nothing(arm, service):
    image = definition(arm, "shallow")
    target = shared(image, targetRegions=targets("westus2", "eastus"), replicationMode="Shallow")
    created(arm, "shallow", body(service, distribute=[target]), "2025-10-01")
    assert result(arm, "shallow")["runState"] == "Succeeded"
    _, aggregated, summary = replication(arm, f"{image}/versions/0.0.1")
    assert aggregated == "Unknown" and "Shallow" in summary["East US"]["details"], summary
    assert not [p for p in files(service.folder / "eastus" / "manifests") if "shallow" in str(p)]
