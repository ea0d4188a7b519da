"""A template's staging group: the account with scripts, logs and VHDs, and the machines of runs."""

import hashlib
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import requests

from command_line import signed_in
from galleries import GALLERY_API, definition, gallery
from resource_manager import (
    AIB, COMPUTE, asks_in_group, begun, cancel, code, create, delete, finished, last_run, output, path,
    properties, ran, run_ids,
)
from service import prepared, running, until
from templates import body, shared, shell, vhd

STORAGE = "providers/Microsoft.Storage/storageAccounts"
MACHINES = "providers/Microsoft.Compute/virtualMachines"
# How long the service waits for open work at shutdown.
GRACE_S = 10


def staging(arm, name):
    return properties(arm, name)["exactStagingResourceGroup"]


def inside(arm, group):
    """The resources in a group, by type."""
    found = {}
    for one in arm("GET", f"{group}/resources").json()["value"]:
        found.setdefault(one["type"].split("/")[-1], []).append(one)
    return found


def account(arm, name):
    """The resource of the staging account."""
    accounts = arm("GET", f"{staging(arm, name)}/{STORAGE}").json()["value"]
    assert len(accounts) == 1, accounts
    return accounts[0]


def endpoint(arm, name):
    return account(arm, name)["properties"]["primaryEndpoints"]["blob"]


def blobs(session, url):
    answer = session.get(f"{url}?restype=container&comp=list")
    assert answer.status_code == 200, answer.text
    return [one.findtext("Name") for one in ElementTree.fromstring(answer.content).iter("Blob")]


def sleeping(service, **more):
    customize = [shell("echo asleep", "sleep forever")]
    return body(service, customize=customize, vmProfile={"vmSize": "Standard_B1s"}, **more)


def log_of(message):
    """The address of the log in the message of a failed run."""
    return message.split("Image Build log location: ")[1].split(". OperationId")[0]


# conformance: 14, 15, 39
def test_staging_group_has_an_account_with_the_scripts(arm, service, scripts):
    url, files = scripts
    made = body(service, managedResourceTags={"cost": "42"}, customize=[
        {"type": "Shell", "name": "s", "scriptUri": f"{url}/hello.sh?sig=secret"},
        {"type": "File", "sourceUri": f"{url}/motd", "destination": "/tmp/motd"},
    ])
    files["/hello.sh?sig=secret"] = files["/hello.sh"]
    put = arm("PUT", path("staged"), json=made)
    assert put.json()["properties"]["exactStagingResourceGroup"] == ""
    assert finished(arm, put)["status"] == "Succeeded"
    group = arm("GET", staging(arm, "staged")).json()
    found = account(arm, "staged")
    assert found["name"].isalnum() and 3 <= len(found["name"]) <= 24
    assert found["location"] == "westus2" and found["sku"]["name"] == "Standard_LRS"
    for one in (group, found):
        assert one["tags"]["cost"] == "42" and one["tags"]["createdBy"] == "AzureVMImageBuilder"
        assert one["tags"]["imageTemplateName"] == "staged"
    session, base = service.session(), endpoint(arm, "staged")
    assert base == f"{service.url}/storage/{found['name']}/"
    assert blobs(session, f"{base}shell") == ["customize/0/hello.sh"]
    script = session.get(f"{base}shell/customize/0/hello.sh")
    assert script.content == files["/hello.sh"]
    assert session.get(f"{base}file/customize/1/motd").content == files["/motd"]
    listed = session.get(f"{base}?comp=list")
    names = [one.findtext("Name") for one in ElementTree.fromstring(listed.content).iter("Container")]
    assert names == ["file", "packerlogs", "shell"]
    for method, more in [("DELETE", {}), ("PUT", {"json": {"location": "westus2"}}), ("PATCH", {"json": {}})]:
        refused = arm(method, found["id"], **more)
        assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed"), refused.text


# conformance: 30, 31
def test_runs_use_the_staged_copy_of_a_script(arm, service, scripts):
    url, files = scripts
    files["/pinned.sh"] = b"echo as it was\n"
    script = {"type": "Shell", "scriptUri": f"{url}/pinned.sh", "sha256Checksum": ""}
    motd = {"type": "File", "sourceUri": f"{url}/motd", "destination": "/tmp/"}
    assert create(arm, "copied", body(service, customize=[script, motd]))["status"] == "Succeeded"
    pinned = properties(arm, "copied")["customize"][0]["sha256Checksum"]
    assert pinned == hashlib.sha256(files["/pinned.sh"]).hexdigest()
    # Neither the address nor the cache, which may be emptied at any time, still has the script.
    files["/pinned.sh"] = b"exit 7\n"
    shutil.rmtree(service.cache / "downloads")
    assert ran(arm, "copied")["status"] == "Succeeded"
    run = run_ids(arm, "copied")[0]
    log = service.session().get(f"{endpoint(arm, 'copied')}packerlogs/{run}/customization.log")
    assert "PACKER OUT as it was" in log.text


# conformance: 10
def test_blobs_are_readable_by_storage_clients(arm, service, scripts):
    url, files = scripts
    files["/long.sh"] = b"#" * 1000 + b"\n"
    create(arm, "read", body(service, customize=[{"type": "Shell", "scriptUri": f"{url}/long.sh"}] * 3))
    session, base = service.session(), endpoint(arm, "read")
    blob = f"{base}shell/customize/0/long.sh"

    def ask(method, url, **headers):
        return session.request(method, url, headers=headers)

    head = ask("HEAD", blob)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "1001", b"")
    assert head.headers["x-ms-blob-type"] == "BlockBlob" and head.headers["Content-Type"].startswith("text/")
    assert ask("GET", blob).headers["ETag"] == head.headers["ETag"]
    part = ask("GET", blob, **{"x-ms-range": "bytes=998-"})
    assert (part.status_code, part.content) == (206, b"##\n")
    assert part.headers["Content-Range"] == "bytes 998-1000/1001"
    assert ask("GET", blob, Range="bytes=0-1").content == b"##"
    beyond = ask("GET", blob, Range="bytes=1001-")
    assert (beyond.status_code, beyond.headers["x-ms-error-code"]) == (416, "InvalidRange")
    assert ask("GET", blob, **{"If-Match": '"other"'}).status_code == 412
    assert ask("GET", blob, **{"If-None-Match": head.headers["ETag"]}).status_code == 304

    listed = f"{base}shell?restype=container&comp=list"
    first = ElementTree.fromstring(ask("GET", f"{listed}&maxresults=2").content)
    assert [one.findtext("Name") for one in first.iter("Blob")] == [
        "customize/0/long.sh", "customize/1/long.sh",
    ]
    assert first.find("Blobs/Blob/Properties/Content-Length").text == "1001"
    rest = ElementTree.fromstring(ask("GET", f"{listed}&marker={first.findtext('NextMarker')}").content)
    assert [one.findtext("Name") for one in rest.iter("Blob")] == ["customize/2/long.sh"]
    folders = ElementTree.fromstring(ask("GET", f"{listed}&delimiter=/&prefix=customize/").content)
    assert [one.findtext("Name") for one in folders.iter("BlobPrefix")] == [
        "customize/0/", "customize/1/", "customize/2/",
    ]
    assert ask("HEAD", f"{base}shell?restype=container").status_code == 200

    for missing, says in [
        (f"{base}shell/none", "BlobNotFound"),
        (f"{base}shell/customize", "BlobNotFound"),
        (f"{base}none?restype=container&comp=list", "ContainerNotFound"),
        (f"{service.url}/storage/nosuchaccount?comp=list", "ResourceNotFound"),
    ]:
        answer = ask("GET", missing)
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (404, says), missing
        assert ElementTree.fromstring(answer.content).findtext("Code") == says
    for method in ["PUT", "POST", "DELETE"]:
        assert ask(method, blob).headers["x-ms-error-code"] == "UnsupportedHttpVerb"
    assert ask("GET", blob).status_code == 200, "still there"


# conformance: 10
def test_blob_path_cannot_leave_the_account(arm, service):
    create(arm, "walled", body(service))
    name = account(arm, "walled")["name"]
    token = service.token()

    def raw(target, token=token):
        """Sends the path unchanged, which clients would normalize."""
        answer = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "--cacert", service.ca,
             "-H", f"Authorization: Bearer {token}", f"{service.url}{target}"],
            capture_output=True, text=True, timeout=30, check=True,
        )
        return int(answer.stdout)

    assert (service.data / "server" / "goldsmith.db").exists()
    for target in [
        f"/storage/{name}/../../goldsmith.db", f"/storage/{name}/%2e%2e/%2e%2e/goldsmith.db",
        f"/storage/{name}/shell/..%2f..%2f..%2fgoldsmith.db", "/storage/../goldsmith.db",
        "/storage/%2e%2e/server/goldsmith.db", f"/storage/{name}/.partial/x",
        f"/storage/{name}/packerlogs/..%2f..%2fgoldsmith.db", "/storage/.partial/x/y",
    ]:
        assert raw(target) in (400, 404), target
    assert raw(f"/storage/{name}?comp=list") == 200
    assert raw(f"/storage/{name}?comp=list", "nobody") == 401
    assert requests.get(f"{service.url}/storage/{name}?comp=list", verify=service.ca, timeout=30).status_code == 401
    # A token for storage clients gives access only to blobs.
    storage = service.token("https://storage.azure.com/.default")
    assert raw(f"/storage/{name}?comp=list", storage) == 200
    assert raw("/subscriptions?api-version=2022-12-01", storage) == 401


# conformance: 102, 136
def test_log_blob_is_readable_during_and_after_the_run(arm, service):
    create(arm, "followed", sleeping(service))
    session, base = service.session(), endpoint(arm, "followed")
    run = begun(arm, "followed")
    name = run_ids(arm, "followed")[0]
    url = f"{base}packerlogs/{name}/customization.log"

    def log():
        answer = session.get(url)
        return answer.text if "PACKER OUT asleep" in answer.text else None

    text = until(log, "the log says that the guest sleeps")
    assert f"[{name}] PACKER OUT (telemetry) Starting provisioner" in text
    assert last_run(arm, "followed")["runState"] == "Running"
    assert blobs(session, f"{base}packerlogs") == [f"{name}/customization.log"]
    cancel(arm, "followed", run)
    assert "(telemetry) Finalizing." in session.get(url).text


# conformance: 51, 102
def test_message_of_a_failed_run_links_to_its_log(arm, service):
    made = body(service, customize=[shell("echo last words", "exit 3")])
    create(arm, "failing", made)
    assert ran(arm, "failing")["status"] == "Failed"
    url = log_of(last_run(arm, "failing")["message"])
    assert url.startswith(f"{endpoint(arm, 'failing')}packerlogs/") and url.endswith("/customization.log")
    log = service.session().get(url)
    assert log.status_code == 200 and "PACKER OUT last words" in log.text
    # Also if nothing was built, because the definition was deleted.
    gallery(arm)
    made["properties"]["distribute"] = [shared(definition(arm, "gone"), replicationRegions=["westus2"])]
    assert create(arm, "nowhere", made)["status"] == "Succeeded"
    assert arm("DELETE", f"{COMPUTE}/galleries/g/images/gone", GALLERY_API).ok
    assert ran(arm, "nowhere")["status"] == "Failed"
    log = service.session().get(log_of(last_run(arm, "nowhere")["message"]))
    assert "PACKER ERR" in log.text and "does not exist" in log.text, log.text


# conformance: 86, 103, 120
def test_vhd_without_uri_is_a_staging_blob_deleted_with_the_template(arm, service):
    create(arm, "vhd", body(service, distribute=[vhd()]))
    assert arm("GET", f"{path('vhd')}/runOutputs/disk").status_code == 404
    assert ran(arm, "vhd")["status"] == "Succeeded"
    made = output(arm, "vhd", "disk")
    assert "artifactId" not in made and made["provisioningState"] == "Succeeded"
    started = last_run(arm, "vhd")["startTime"]
    stamp = "".join(c for c in started.split(".")[0].rstrip("Z") if c.isdigit())
    base, session = endpoint(arm, "vhd"), service.session()
    assert made["artifactUri"] == f"{base}vhds/disk_{stamp}.vhd"
    disk = session.get(made["artifactUri"])
    assert disk.status_code == 200 and disk.headers["x-ms-blob-type"] == "PageBlob"
    assert len(disk.content) % 512 == 0 and disk.content[-512:-504] == b"conectix"
    blobs_folder = service.data / "blobs" / "vhds"
    assert not list(blobs_folder.glob("disk_*")), "moved, not copied"
    folder = service.data / "server" / "storage" / account(arm, "vhd")["name"]
    assert folder.exists()
    delete(arm, "vhd")
    # Its files go after the operation has ended.
    until(lambda: not folder.exists(), "the files are removed")
    assert session.get(made["artifactUri"]).status_code == 404


# conformance: 39, 96
def test_machine_is_listed_while_its_run_holds_it(arm, service):
    create(arm, "held", sleeping(service, managedResourceTags={"cost": "7"}))
    group = staging(arm, "held")
    assert list(inside(arm, group)) == ["storageAccounts"], "there is no machine before a run"
    run = begun(arm, "held")
    until(lambda: "virtualMachines" in inside(arm, group), "the machine is shown")
    found = inside(arm, group)
    assert sorted(found) == [
        "disks", "networkInterfaces", "networkSecurityGroups", "storageAccounts", "virtualMachines",
        "virtualNetworks",
    ]
    assert all(one["tags"]["cost"] == "7" for many in found.values() for one in many)
    vm = arm("GET", f"{found['virtualMachines'][0]['id']}?$expand=instanceView", "2024-11-01").json()
    machine = vm["properties"]
    assert machine["hardwareProfile"]["vmSize"] == "Standard_B1s"
    assert machine["hardwareProfile"]["vmSizeProperties"]["vCPUsAvailable"] == 1
    assert "PowerState/running" in [s["code"] for s in machine["instanceView"]["statuses"]]
    disk = arm("GET", machine["storageProfile"]["osDisk"]["managedDisk"]["id"], "2024-03-02").json()
    assert disk["properties"]["diskSizeBytes"] == 64 << 20 and disk["managedBy"] == vm["id"]
    nic = arm("GET", machine["networkProfile"]["networkInterfaces"][0]["id"], "2024-07-01").json()
    subnet = nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
    assert arm("GET", subnet, "2024-07-01").status_code == 200

    for one in [many[0] for kind, many in found.items() if kind != "storageAccounts"]:
        for method, more in [("DELETE", {}), ("PUT", {"json": {"location": "westus2"}})]:
            refused = arm(method, one["id"], "2024-07-01", **more)
            assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed"), refused.text
    own = arm("PUT", f"{group}/{MACHINES}/mine", "2024-11-01", json={"location": "westus2"})
    assert (own.status_code, code(own)) == (405, "MethodNotAllowed")
    blocked = arm("DELETE", group)
    assert (blocked.status_code, code(blocked)) == (409, "ResourceGroupDeletionBlocked")
    cancel(arm, "held", run)
    assert list(inside(arm, group)) == ["storageAccounts"], "the run is over, and so is its machine"


# conformance: 137
def test_no_missing_machine_is_listed_after_kill_9(tmp_path):
    with running(prepared(tmp_path)) as service:
        arm = asks_in_group(service)
        create(arm, "killed", sleeping(service))
        group = staging(arm, "killed")
        run = begun(arm, "killed")

        def machines():
            """The creation times of the listed machines."""
            found = arm("GET", f"{group}/{MACHINES}", "2024-11-01").json()["value"]
            return [one["properties"]["timeCreated"] for one in found]

        seen = set()

        def another():
            """A new machine; that of a killed server is listed until it has ended."""
            return set(machines()) - seen

        seen |= until(another, "the machine is shown")
        service.kill()
        service.start()
        # The run is recovered once, on a new machine; after a cancel it leaves none.
        seen |= until(another, "the run goes on")
        until(lambda: len(machines()) == 1, "the killed one's machine is gone")
        cancel(arm, "killed", run)
        assert list(inside(arm, group)) == ["storageAccounts"]

        # A run that is not recovered: a second interruption ends it, and its machine is not listed.
        run = begun(arm, "killed")
        for _ in range(2):
            seen |= until(another, "the machine is shown")
            service.kill()
            service.start()
        assert finished(arm, run)["status"] == "Failed"
        assert list(inside(arm, group)) == ["storageAccounts"]


# conformance: 36, 37
def test_named_staging_group_must_be_unused_and_is_created_if_missing(arm, service):
    prefix = f"/subscriptions/{service.subscription}/resourceGroups"

    def outcome(name, group, location="westus2"):
        made = body(service, stagingResourceGroup=group)
        made["location"] = location
        if create(arm, name, made)["status"] == "Succeeded":
            return None
        error = properties(arm, name)["provisioningError"]
        assert error["provisioningErrorCode"] == "BadStagingResourceGroup"
        delete(arm, name)
        return error["message"]

    for group, place in [("full", "westus2"), ("elsewhere", "eastus"), ("free", "westus2")]:
        assert arm("PUT", f"resourcegroups/{group}", json={"location": place}).status_code == 201
    other = f"{prefix}/full/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x-1"
    assert arm("PUT", other, "2024-11-30", json={"location": "westus2"}).status_code == 201
    assert "not empty" in outcome("g1", f"{prefix}/full")
    assert "region" in outcome("g2", f"{prefix}/elsewhere")
    assert outcome("g3", f"{prefix}/free") is None
    assert "used by" in outcome("g4", f"{prefix}/FREE")
    assert "subscription" in outcome("g5", "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/free")
    assert arm("GET", "resourcegroups/absent").status_code == 404
    assert outcome("g6", f"{prefix}/absent") is None
    made = arm("GET", "resourcegroups/absent").json()
    assert made["tags"]["createdBy"] == "AzureVMImageBuilder" and made["location"] == "westus2"
    assert account(arm, "g6")["id"].startswith(f"{prefix}/absent/")


# conformance: 117
def test_deletion_keeps_resources_that_the_service_did_not_create(arm, service):
    create(arm, "own", body(service))
    own, folder = staging(arm, "own"), account(arm, "own")["name"]
    delete(arm, "own")
    assert arm("GET", path("own")).status_code == 404
    assert arm("GET", own).status_code == 404
    files = service.data / "server" / "storage" / folder
    until(lambda: not files.exists(), "the files are removed")

    external = arm("PUT", "resourcegroups/given", json={"location": "westus2", "tags": {"mine": "yes"}}).json()["id"]
    for name in ["first", "second"]:
        create(arm, name, body(service, stagingResourceGroup=external, managedResourceTags={"cost": "1"}))
        tags = arm("GET", external).json()["tags"]
        assert tags["usedBy"].endswith(f"/{name}") and tags["cost"] == "1"
        assert [list(inside(arm, external)), account(arm, name)["tags"]["cost"]] == [["storageAccounts"], "1"]
        delete(arm, name)
        assert arm("GET", external).json()["tags"] == {"mine": "yes"}
        assert inside(arm, external) == {}


# conformance: 117, 119
def test_failed_creation_leaves_no_staging_group(arm, service, scripts):
    groups = lambda: {one["name"] for one in arm("GET", "resourcegroups").json()["value"]}
    before = groups()
    made = body(service, customize=[{"type": "Shell", "scriptUri": f"{scripts.url}/not-there.sh"}])
    assert create(arm, "stillborn", made)["status"] == "Failed"
    assert groups() == before and staging(arm, "stillborn") == ""
    delete(arm, "stillborn")
    assert arm("GET", path("stillborn")).status_code == 404


def test_run_without_its_storage_account_fails_with_the_reason(arm, service):
    create(arm, "robbed", body(service, distribute=[vhd()]))
    group = staging(arm, "robbed")
    folder = service.data / "server" / "storage" / account(arm, "robbed")["name"]
    assert arm("DELETE", group).status_code == 202
    until(lambda: arm("GET", group).status_code == 404, "the group is gone")
    operation = ran(arm, "robbed")
    assert operation["status"] == "Failed" and "storage account" in operation["error"]["message"], operation
    assert arm("GET", f"{path('robbed')}/runOutputs/disk").status_code == 404 and not folder.exists()
    delete(arm, "robbed")
    assert arm("GET", path("robbed")).status_code == 404


def test_deleting_a_group_deletes_staged_files_of_its_templates(arm, service):
    arm("PUT", "resourcegroups/whole", json={"location": "westus2"})
    put = arm("PUT", f"resourceGroups/whole/{AIB}/t", json=body(service))
    assert finished(arm, put)["status"] == "Succeeded"
    group = arm("GET", f"resourceGroups/whole/{AIB}/t").json()["properties"]["exactStagingResourceGroup"]
    assert arm("GET", group).status_code == 200
    assert arm("DELETE", "resourcegroups/whole").status_code == 202
    until(lambda: arm("GET", "resourcegroups/whole").status_code == 404, "the group is gone")
    assert arm("GET", group).status_code == 404


def log_by_id(arm, run, name="log"):
    return arm("GET", f"providers/Microsoft.VirtualMachineImages/runs/{run}/{name}")


# conformance: 92
def test_logs_remain_after_the_template_is_deleted(arm, service, tmp_path):
    create(arm, "outlived", body(service))
    operation = begun(arm, "outlived")
    finished(arm, operation)
    run = run_ids(arm, "outlived")[0]
    delete(arm, "outlived")
    assert arm("GET", f"{path('outlived')}/runs/{run}").status_code == 404
    shown_run = arm("GET", f"providers/Microsoft.VirtualMachineImages/runs/{run}").json()["properties"]
    assert shown_run["runState"] == "Succeeded" and shown_run["logs"] == ["customization.log"]
    assert shown_run["imageTemplateId"].endswith("/outlived")
    assert "PACKER OUT hello" in log_by_id(arm, run).text
    assert "PACKER OUT hello" in log_by_id(arm, run, "logs/customization.log").text
    assert log_by_id(arm, run, "logs/events.jsonl").status_code == 404
    assert log_by_id(arm, run, "logs/..%2f..%2fgoldsmith.db").status_code == 404
    finished(arm, operation)

    assert "PACKER OUT hello" in signed_in(service, tmp_path)("run", "logs", run)


def test_logs_are_deleted_after_their_retention(tmp_path):
    with running(prepared(tmp_path), ["--log-retention", "0s"]) as service:
        arm = asks_in_group(service)
        runs = {}
        for name in ["kept", "gone"]:
            create(arm, name, body(service))
            ran(arm, name)
            runs[name] = run_ids(arm, name)[0]
        create(arm, "active", sleeping(service))
        active = begun(arm, "active")
        delete(arm, "gone")
        until(lambda: log_by_id(arm, runs["gone"]).status_code == 404, "the log is removed")
        # The commit that removes the run comes first, its folder goes after it.
        folder = service.data / "server" / "runs" / runs["gone"]
        until(lambda: not folder.exists(), "its folder is removed")
        assert log_by_id(arm, runs["kept"]).status_code == 200, "its template lives"
        assert last_run(arm, "active")["runState"] == "Running"
        cancel(arm, "active", active)


def test_service_shuts_down_at_once_during_a_deletion(tmp_path):
    with running(prepared(tmp_path)) as service:
        arm = asks_in_group(service)
        create(arm, "brief", body(service))
        delete(arm, "brief")
        began = time.monotonic()
    assert time.monotonic() - began < GRACE_S
