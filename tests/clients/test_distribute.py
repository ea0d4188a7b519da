"""Distributors: what is refused, what is made, and where its copies are."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import templates
from service import GOLDSMITH, Service
from templates import body
from test_protocol import AIB, code, finished, fixture_arm

COMPUTE = "providers/Microsoft.Compute"
GALLERY_API = "2024-03-03"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Home is westus2; eastus has a place, japaneast one on a disk that is not mounted."""
    folder = tmp_path_factory.mktemp("distribute")
    templates.catalogue(folder / "data", folder)
    # Something to copy.
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
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    ask = fixture_arm(service)
    made = ask("PUT", f"{group()}/galleries/gal", GALLERY_API, json={"location": "westus2"})
    assert made.status_code == 201, made.text
    return ask


def group():
    return f"resourceGroups/rg/{COMPUTE}"


def definition(arm, name):
    made = arm("PUT", f"{group()}/galleries/gal/images/{name}", GALLERY_API, json={
        "location": "westus2",
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "p", "offer": "o", "sku": name},
        },
    })
    assert made.status_code in (200, 201), made.text
    return made.json()["id"]


def shared(image_id, name="shared", **more):
    return {"type": "SharedImage", "runOutputName": name, "galleryImageId": image_id, **more}


def targets(*names):
    return [{"name": name} for name in names]


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def template(service, distribute, **more):
    made = body(service, **more)
    made["properties"]["distribute"] = distribute
    return made


def created(arm, name, made, version="2024-02-01"):
    answer = arm("PUT", path(name), version, json=made)
    assert answer.status_code == 201, answer.text
    return finished(arm, answer)


def failed(arm, name, made):
    """The error of a creation that fails, once as the operation has it and once as the template has it."""
    ended = created(arm, name, made)
    assert ended["status"] == "Failed", ended
    error = arm("GET", path(name)).json()["properties"]["provisioningError"]
    assert ended["error"]["message"] == error["message"]
    return ended["error"]["code"], error["provisioningErrorCode"], error["message"]


def ran(arm, name):
    finished(arm, arm("POST", f"{path(name)}/run"))
    return arm("GET", path(name)).json()["properties"]["lastRunStatus"]


def delivered(arm, service, name, distribute, **more):
    assert created(arm, name, template(service, distribute, **more))["status"] == "Succeeded"
    status = ran(arm, name)
    assert status["runState"] == "Succeeded", status
    return {target["runOutputName"]: output(arm, name, target["runOutputName"]) for target in distribute}


def output(arm, name, run_output):
    return arm("GET", f"{path(name)}/runOutputs/{run_output}").json()["properties"]


def replication(arm, version_id):
    shown = arm("GET", f"{version_id}?$expand=ReplicationStatus", GALLERY_API).json()["properties"]
    status = shown["replicationStatus"]
    summary = {region["region"]: region for region in status["summary"]}
    return shown["provisioningState"], status["aggregatedState"], summary


def files(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file())


def goldsmith(service, *arguments):
    command = [
        GOLDSMITH, "--data-dir", str(service.data), "--cache-dir", str(service.cache),
        "--output", "json", *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr


# conformance: 74, 75, 76, 78, 79, 82, 90
def test_what_can_be_seen_in_the_template_is_refused_at_once(arm, service):
    image = definition(arm, "refused")
    managed = templates.managed(service.subscription, "img")

    def without(target, field):
        return {key: value for key, value in target.items() if key != field}

    region = {"targetRegions": targets("westus2")}
    cases = [
        ([managed, {**managed, "type": "ManagedImage"}], "ValidationFailed", "runOutputName"),
        ([managed, without({**managed, "runOutputName": "b"}, "imageId")], "ValidationFailed", "distribute[1]"),
        ([without(managed, "location")], "ValidationFailed", "location"),
        ([without(managed, "runOutputName")], "ValidationFailed", "runOutputName"),
        ([shared(image, **region, replicationRegions=["westus2"])], "ValidationFailed", "exclude each other"),
        ([shared(image, **region, storageAccountType="Standard_LRS")], "ValidationFailed", "replicationRegions"),
        ([shared(image, targetRegions=[{"name": "westus2", "replicaCount": 0}])], "ValidationFailed", "replicaCount"),
        ([shared(image, targetRegions=[{"replicaCount": 1}])], "ValidationFailed", "name"),
        ([shared(image, **region, versioning={"scheme": "Latest", "major": -2})], "ValidationFailed", "major"),
        ([shared(image, **region, versioning={"scheme": "Newest"})], "ValidationFailed", "scheme"),
        ([{"type": "Floppy", "runOutputName": "f"}], "BadDistributeType", "Floppy"),
        ([{"type": "VHD", "runOutputName": "v", "uri": "https://images.blob.core.windows.net/vhds/x.vhd?sig=1"}],
         "ValidationFailed", "token"),
    ]
    for distribute, expected, text in cases:
        answer = arm("PUT", path("refused"), json=template(service, distribute))
        assert (answer.status_code, code(answer)) == (400, expected), answer.text
        assert text in answer.text, answer.text
    old = arm("PUT", path("refused"), "2022-02-14", json=template(service, [shared(image)]))
    assert old.status_code == 400 and "replicationRegions" in old.text
    accepted = shared(
        image, replicationRegions=["westus2"], storageAccountType="Standard_ZRS",
        versioning={"scheme": "Latest", "major": -1},
    )
    assert created(arm, "accepted", template(service, [accepted]))["status"] == "Succeeded"


# conformance: 77, 85
def test_what_is_not_there_fails_the_creation(arm, service):
    image = definition(arm, "missing")
    managed = templates.managed(service.subscription, "img")
    blob = "https://other.blob.core.windows.net/vhds/x.vhd"
    bad_gallery = "BadSharedImageDistribute"
    cases = [
        (shared(image.replace("/gal/", "/none/"), targetRegions=targets("westus2")), bad_gallery,
         "properties.distribute[0].galleryImageId"),
        (shared(f"{image}x", targetRegions=targets("westus2")), bad_gallery,
         "properties.distribute[0].galleryImageId"),
        (shared(image, replicationRegions=["eastus"]), bad_gallery,
         "properties.distribute[0].replicationRegions"),
        (shared(image, targetRegions=targets("westus2", "mars")), bad_gallery,
         "properties.distribute[0].targetRegions[1].name"),
        ({**managed, "imageId": managed["imageId"].replace("/rg/", "/none/")}, "ValidationFailed",
         "properties.distribute[0].imageId"),
        ({**managed, "location": "mars"}, "ValidationFailed", "properties.distribute[0].location"),
        ({"type": "VHD", "runOutputName": "v", "uri": blob}, "ValidationFailed", "properties.distribute[0].uri"),
    ]
    for number, (target, expected, field) in enumerate(cases):
        got, provisioning, message = failed(arm, f"missing{number}", template(service, [target]))
        assert got == expected and provisioning in (expected, "Other"), (got, provisioning)
        assert f"(at '{field}')" in message and "To fix it: " in message, message
    assert "westus2, eastus, japaneast" in failed(
        arm, "missing", template(service, [shared(image, targetRegions=targets("mars"))])
    )[2]


# conformance: 81, 82, 83
def test_versions_are_numbered(arm, service):
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
        made = delivered(arm, service, f"numbered{number}", [target])
        assert made["shared"]["artifactId"] == f"{image}/versions/{expected}"
    target = shared(definition(arm, "sourced"), targetRegions=targets("westus2"), versioning={"scheme": "Source"})
    made = delivered(arm, service, "sourced", [target])
    assert made["shared"]["artifactId"].endswith("/sourced/versions/1.0.0")
    # A number that is free again is given again only by name.
    assert arm("DELETE", f"{image}/versions/5.0.0", GALLERY_API).status_code in (200, 202, 204)
    made = delivered(arm, service, "again", [shared(f"{image}/versions/5.0.0", targetRegions=targets("westus2"))])
    assert made["shared"]["artifactId"] == f"{image}/versions/5.0.0"


# conformance: 80
def test_an_explicit_version_is_made_once(arm, service):
    image = definition(arm, "explicit")
    target = shared(f"{image}/versions/1.2.3", targetRegions=targets("westus2"))
    delivered(arm, service, "explicit", [target])
    again = ran(arm, "explicit")
    assert again["runState"] == "Failed" and "1.2.3" in again["message"], again
    got, _, message = failed(arm, "taken", template(service, [target]))
    assert got == "VersionConflict" and "(at 'properties.distribute[0].galleryImageId')" in message


# conformance: 45, 46, 84
def test_latest_is_the_highest_that_is_not_excluded(arm, service):
    image = definition(arm, "latest")
    versions = [
        delivered(arm, service, f"latest{number}", [
            shared(image, targetRegions=targets("westus2"), excludeFromLatest=excluded)
        ])["shared"]["artifactId"]
        for number, excluded in enumerate([False, False, True])
    ]
    assert [version.rsplit("/", 1)[1] for version in versions] == ["0.0.1", "0.0.2", "0.0.3"]
    profile = arm("GET", versions[2], GALLERY_API).json()["properties"]["publishingProfile"]
    assert profile["excludeFromLatest"] is True
    made = body(service)
    made["properties"]["source"] = {
        "type": "SharedImageVersion", "imageVersionId": f"{image}/versions/latest",
    }
    assert created(arm, "from-latest", made)["status"] == "Succeeded"
    exact = arm("GET", path("from-latest")).json()["properties"]["source"]["exactVersion"]
    assert exact == versions[1]
    assert ran(arm, "from-latest")["runState"] == "Succeeded"
    old = arm("PUT", path("from-latest-old"), "2022-02-14", json=made)
    assert old.status_code == 400 and "latest" in old.text


def test_a_version_is_copied_to_its_regions_and_goes_with_them(arm, service):
    image = definition(arm, "copied")
    target = shared(image, targetRegions=[
        {"name": "West US 2"},
        {"name": "eastus", "replicaCount": 3, "storageAccountType": "Premium_LRS"},
    ])
    version = delivered(arm, service, "copied", [target])["shared"]["artifactId"]
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

    # What is not there is not told to be there.
    kept = manifest[0].rename(place / "kept")
    assert replication(arm, version)[1:] == ("Failed", {
        "West US 2": {"region": "West US 2", "state": "Completed", "details": "", "progress": 100},
        "East US": {"region": "East US", "state": "Failed", "details": "the copy was removed", "progress": 0},
    })
    kept.rename(manifest[0])
    assert arm("DELETE", version, GALLERY_API).status_code in (200, 202, 204)
    assert not manifest[0].exists()
    assert arm("GET", version, GALLERY_API).status_code == 404


# conformance: 76
def test_without_regions_a_version_is_in_that_of_its_gallery(arm, service):
    arm("PUT", f"{group()}/galleries/east", GALLERY_API, json={"location": "eastus"})
    image = definition(arm, "default").replace("/gal/", "/east/")
    made = arm("GET", image.replace("/east/", "/gal/"), GALLERY_API).json()
    east = {"location": "eastus", "properties": made["properties"]}
    assert arm("PUT", image, GALLERY_API, json=east).status_code == 201
    version = delivered(arm, service, "default", [shared(image)])["shared"]["artifactId"]
    state, aggregated, summary = replication(arm, version)
    assert (state, aggregated, list(summary)) == ("Succeeded", "Completed", ["East US"])
    assert any("/east/default/" in str(p) for p in files(service.folder / "eastus" / "manifests"))


# conformance: 88
def test_a_region_that_fails_is_told_and_the_others_have_it(arm, service):
    image = definition(arm, "partly")
    distribute = [
        shared(image, targetRegions=targets("westus2", "eastus", "japaneast")),
        templates.managed(service.subscription, "partly"),
        {"type": "VHD", "runOutputName": "disk"},
    ]
    assert created(arm, "partly", template(service, distribute))["status"] == "Succeeded"
    status = ran(arm, "partly")
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
        ended, said = goldsmith(service, "image", "replicate", version, "eastus", "japaneast")
        assert ended == 0, said
        moved = [region["copied"]["movedChunks"] for region in said["regions"]]
        assert moved[0] == 0 and moved[1] > 0, said
        assert replication(arm, version)[:2] == ("Succeeded", "Completed")
        # The next run is another version, of the same pieces.
        assert ran(arm, "partly")["runState"] == "Succeeded"
        assert replication(arm, f"{image}/versions/0.0.2")[1] == "Completed"
    finally:
        shutil.rmtree(service.folder / "mount")


def test_a_region_that_is_added_later_gets_its_copy(arm, service):
    image = definition(arm, "later")
    version = delivered(arm, service, "later", [shared(image, targetRegions=targets("westus2"))])["shared"]["artifactId"]
    shown = arm("GET", version, GALLERY_API).json()
    shown["properties"]["publishingProfile"]["targetRegions"] = targets("westus2", "eastus")
    update = {key: shown[key] for key in ("location", "tags", "properties")}
    assert arm("PUT", version, GALLERY_API, json=update).status_code == 200
    deadline = time.monotonic() + 60
    while replication(arm, version)[1] != "Completed":
        assert time.monotonic() < deadline, replication(arm, version)
    assert replication(arm, version)[0] == "Succeeded"


def test_a_source_must_be_in_the_templates_region(arm, service):
    image = definition(arm, "origin")
    here = delivered(arm, service, "origin-here", [shared(image, targetRegions=targets("westus2"))])
    there = delivered(arm, service, "origin-there", [shared(image, targetRegions=targets("westus2", "eastus"))])
    newest = delivered(arm, service, "origin-new", [shared(image, targetRegions=targets("westus2"))])
    here, there, newest = (made["shared"]["artifactId"] for made in (here, there, newest))

    def upon(version, location):
        made = template(service, [{"type": "VHD", "runOutputName": "disk"}])
        made["location"] = location
        made["properties"]["source"] = {"type": "SharedImageVersion", "imageVersionId": version}
        return made

    got, provisioning, message = failed(arm, "astray", upon(here, "eastus"))
    assert got == provisioning == "BadSharedImageVersionSource"
    assert "not replicated to the template's region eastus" in message, message
    latest = f"{image}/versions/latest"
    for location, expected in [("eastus", there), ("westus2", newest)]:
        name = f"latest-in-{location}"
        assert created(arm, name, upon(latest, location))["status"] == "Succeeded"
        source = arm("GET", path(name)).json()["properties"]["source"]
        assert source["exactVersion"] == expected

    # The region's copy is enough: the disk of the local store is lost.
    stored = service.data / "images" / "galleries" / service.subscription.lower() / "rg" / "gal" / "origin"
    shutil.rmtree(stored / there.rsplit("/", 1)[1])
    assert ran(arm, "latest-in-eastus")["runState"] == "Succeeded"
    assert (stored / there.rsplit("/", 1)[1] / "disk.qcow2").exists()
    shutil.rmtree(stored / there.rsplit("/", 1)[1])
    ended, said = goldsmith(service, "image", "pull", there)
    assert ended == 0 and said["region"] == "eastus", said


# conformance: 86, 87, 88, 89
def test_three_kinds_of_targets_with_their_tags(arm, service):
    image = definition(arm, "kinds")
    uri = "https://images.blob.core.windows.net/vhds/web/one.vhd"
    tags = {"team": "web", "empty": None}
    distribute = [
        {**templates.managed(service.subscription, "kinds"), "artifactTags": tags},
        shared(image, targetRegions=targets("westus2"), artifactTags=tags),
        {"type": "VHD", "runOutputName": "staged", "artifactTags": tags},
        {"type": "VHD", "runOutputName": "given", "uri": uri, "artifactTags": tags},
    ]
    made = delivered(arm, service, "kinds", distribute)
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
    assert ran(arm, "kinds")["runState"] == "Succeeded"
    assert blob.stat().st_ino != first, "the next run replaces the blob and the managed image"
    assert arm("GET", made["image"]["artifactId"], "2024-07-01").status_code == 200
    unfinished = [p for p in files(service.folder / "blobs") if ".partial" in p.name]
    assert not unfinished


# conformance: 110, 111
def test_targets_of_a_template_may_change_but_not_go(arm, service):
    image = definition(arm, "patched")
    target = shared(image, targetRegions=targets("westus2"))
    disk = {"type": "VHD", "runOutputName": "disk"}
    created(arm, "patched", template(service, [target, disk]))

    def patch(*distribute):
        return arm("PATCH", path("patched"), json={"properties": {"distribute": list(distribute)}})

    gone = patch(target)
    assert gone.status_code == 400 and "Deleting a distribution target is not allowed" in gone.text
    incomplete = patch(target, disk, {"type": "SharedImage", "runOutputName": "more"})
    assert incomplete.status_code == 400 and "Missing field" in incomplete.text
    moved = {**target, "targetRegions": targets("westus2", "eastus")}
    assert finished(arm, patch(moved, disk))["status"] == "Succeeded"
    shown = arm("GET", path("patched")).json()["properties"]["distribute"]
    assert [region["name"] for region in shown[0]["targetRegions"]] == ["westus2", "eastus"]


def test_a_copy_that_is_killed_is_no_copy_and_is_taken_up_again(arm, service):
    image = definition(arm, "killed")
    version = f"{image}/versions/1.0.0"
    disk = service.folder / "noise.raw"
    with disk.open("wb") as file:
        for _ in range(192):
            file.write(os.urandom(1 << 20))
    qcow2 = disk.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(qcow2)], check=True)
    ended, said = goldsmith(service, "image", "import", version, str(qcow2))
    assert ended == 0, said
    place = service.folder / "eastus"
    before = set(files(place / "chunks"))
    copying = subprocess.Popen(
        [GOLDSMITH, "--data-dir", str(service.data), "--cache-dir", str(service.cache),
         "image", "replicate", version, "eastus"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    while len(files(place / "chunks")) < len(before) + 100:
        assert copying.poll() is None, "it was over before it could be killed"
    copying.kill()
    copying.wait()
    assert not [p for p in files(place / "manifests") if "/killed/" in str(p)]

    def state():
        replication = goldsmith(service, "image", "show", version)[1]["replication"]
        return {shown["region"]: shown["state"] for shown in replication}

    assert state()["eastus"] == "Failed"
    ended, said = goldsmith(service, "image", "pull", version.replace("1.0.0", "latest"))
    assert ended != 0
    ended, said = goldsmith(service, "image", "replicate", version, "eastus")
    assert ended == 0, said
    copied = said["regions"][0]["copied"]
    assert 0 < copied["movedChunks"] <= copied["chunks"] - 100, copied
    assert state()["eastus"] == "Completed"
    ended, said = goldsmith(service, "image", "rm", version)
    assert ended == 0 and said["regions"] == ["eastus"], said
    left = set(files(place / "chunks"))
    assert left <= before and not [p for p in left if "#" in p.name]


def test_shallow_copies_nothing(arm, service):
    image = definition(arm, "shallow")
    made = template(service, [shared(image, targetRegions=targets("westus2", "eastus"), replicationMode="Shallow")])
    assert created(arm, "shallow", made, "2025-10-01")["status"] == "Succeeded"
    assert ran(arm, "shallow")["runState"] == "Succeeded"
    _, aggregated, summary = replication(arm, f"{image}/versions/0.0.1")
    assert aggregated == "Unknown" and "Shallow" in summary["East US"]["details"], summary
    assert not [p for p in files(service.folder / "eastus" / "manifests") if "shallow" in str(p)]
