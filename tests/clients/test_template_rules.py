"""What a template's fields do at creation, while it is changed, and in its runs."""

import hashlib
import http.server
import threading

import pytest

import templates
from service import Service
from templates import body
from test_protocol import AIB, code, finished, fixture_arm


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


@pytest.fixture(scope="module")
def scripts():
    """Files by path, over http on loopback; they can be changed."""
    files = {"/hello.sh": b"echo one\n"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = files.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def create(arm, name, made):
    return finished(arm, arm("PUT", path(name), json=made))


def shown(arm, name):
    return arm("GET", path(name)).json()


# conformance: 30, 31
def test_a_script_is_pinned_when_the_template_is_created(arm, service, scripts):
    url, files = scripts
    made = body(service)
    made["properties"]["customize"] = [
        {"type": "Shell", "scriptUri": f"{url}/hello.sh", "sha256Checksum": ""}
    ]
    assert create(arm, "pinned", made)["status"] == "Succeeded"
    pinned = shown(arm, "pinned")["properties"]["customize"][0]["sha256Checksum"]
    assert pinned == hashlib.sha256(files["/hello.sh"]).hexdigest()
    files["/hello.sh"] = b"exit 7\n"
    assert finished(arm, arm("POST", f"{path('pinned')}/run"))["status"] == "Succeeded"
    runs = arm("GET", f"{path('pinned')}/runs").json()["value"]
    log = arm("GET", f"{path('pinned')}/runs/{runs[0]['name']}/log").text
    assert "PACKER OUT one" in log


# conformance: 29
def test_a_checksum_that_does_not_fit_fails_the_creation(arm, service, scripts):
    made = body(service)
    made["properties"]["customize"] = [
        {"type": "Shell", "scriptUri": f"{scripts[0]}/hello.sh", "sha256Checksum": "0" * 64}
    ]
    assert create(arm, "misfit", made)["status"] == "Failed"
    assert shown(arm, "misfit")["properties"]["provisioningState"] == "Failed"


# conformance: 28
def test_an_unreachable_script_fails_the_creation(arm, service, scripts):
    made = body(service)
    made["properties"]["customize"] = [{"type": "Shell", "scriptUri": f"{scripts[0]}/none.sh"}]
    assert create(arm, "unreachable", made)["status"] == "Failed"


# conformance: 34
def test_an_empty_vm_profile_is_echoed_with_defaults(arm, service):
    made = body(service)
    made["properties"]["vmProfile"] = {}
    create(arm, "profile", made)
    assert shown(arm, "profile")["properties"]["vmProfile"] == {"vmSize": "", "osDiskSizeGB": 0}


# conformance: 38
def test_auto_run_starts_one_run(arm, service):
    made = body(service)
    made["properties"]["autoRun"] = {"state": "Enabled"}
    create(arm, "auto", made)
    while "lastRunStatus" not in shown(arm, "auto")["properties"]:
        pass
    assert len(arm("GET", f"{path('auto')}/runs").json()["value"]) == 1


# conformance: 39
def test_managed_resource_tags_are_on_the_staging_group(arm, service):
    made = body(service)
    made["properties"]["managedResourceTags"] = {"cost": "42"}
    create(arm, "tagged", made)
    group = shown(arm, "tagged")["properties"]["exactStagingResourceGroup"]
    tags = arm("GET", group).json()["tags"]
    assert tags["cost"] == "42" and tags["imageTemplateName"] == "tagged"


# conformance: 96, 101, 114
def test_two_templates_run_at_once_and_neither_is_changed_meanwhile(arm, service):
    made = body(service)
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["sleep forever"]}]
    made["properties"]["vmProfile"] = {"vmSize": "Standard_B1s"}
    runs = {}
    for name in ["left", "right"]:
        create(arm, name, made)
        runs[name] = arm("POST", f"{path(name)}/run")
    states = set()
    while states != {"Customizing"}:
        states = {
            shown(arm, name)["properties"]["lastRunStatus"].get("runSubState") for name in runs
        }
        assert states <= {"Queued", "Building", "Customizing"}, states
    refused = arm("PATCH", path("left"), json={"tags": {"a": "b"}})
    assert (refused.status_code, code(refused)) == (409, "OperationNotAllowed")
    for name, run in runs.items():
        assert arm("POST", f"{path(name)}/cancel").status_code == 204
        assert finished(arm, run)["status"] == "Canceled"


# conformance: 110, 111, 112
def test_distribute_can_be_changed_but_not_shortened(arm, service):
    create(arm, "targets", body(service))
    changed = templates.managed(service.subscription, "other")
    patch = arm("PATCH", path("targets"), json={"properties": {"distribute": [changed]}})
    assert patch.status_code == 202 and finished(arm, patch)["status"] == "Succeeded"
    after = shown(arm, "targets")["properties"]
    assert after["distribute"][0]["imageId"].endswith("/other")
    assert after["provisioningState"] == "Succeeded"
    incomplete = {"type": "ManagedImage", "runOutputName": "image"}
    refused = arm("PATCH", path("targets"), json={"properties": {"distribute": [incomplete]}})
    assert refused.status_code == 400 and "Missing field" in refused.text
    patch = arm("PATCH", path("targets"), json={"properties": {"vmProfile": {"vmSize": "Standard_B2s"}}})
    assert patch.status_code == 202 and finished(arm, patch)["status"] == "Succeeded"
    assert shown(arm, "targets")["properties"]["vmProfile"]["vmSize"] == "Standard_B2s"


# conformance: 118
def test_a_failed_run_says_where_its_log_is_and_images_outlive_templates(arm, service):
    made = body(service)
    create(arm, "outlived", made)
    finished(arm, arm("POST", f"{path('outlived')}/run"))
    finished(arm, arm("DELETE", path("outlived")))
    image = "resourceGroups/rg/providers/Microsoft.Compute/images/img"
    assert arm("GET", image, "2024-07-01").status_code == 200
    made["properties"]["customize"] = [{"type": "Shell", "inline": ["echo last words", "exit 3"]}]
    create(arm, "broken", made)
    assert finished(arm, arm("POST", f"{path('broken')}/run"))["status"] == "Failed"
    message = shown(arm, "broken")["properties"]["lastRunStatus"]["message"]
    url = message.split("Image Build log location: ")[1].split(". OperationId")[0]
    log = service.session().get(url, timeout=30)
    assert log.status_code == 200 and "PACKER OUT last words" in log.text


# conformance: 36, 37
def test_a_staging_group_of_ones_own_is_made_or_must_be_empty(arm, service):
    made = body(service)
    prefix = f"/subscriptions/{service.subscription}/resourceGroups"
    made["properties"]["stagingResourceGroup"] = f"{prefix}/mine"
    create(arm, "staged", made)
    properties = shown(arm, "staged")["properties"]
    assert properties["exactStagingResourceGroup"].endswith("/mine")
    assert arm("GET", "resourcegroups/mine").status_code == 200
    made["properties"]["stagingResourceGroup"] = f"{prefix}/rg"
    assert create(arm, "crowded", made)["status"] == "Failed"
    error = shown(arm, "crowded")["properties"]["provisioningError"]
    assert error["provisioningErrorCode"] == "BadStagingResourceGroup"
