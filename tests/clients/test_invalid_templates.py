"""Every row of the table of invalid templates, over HTTP and through `goldsmith validate`."""

import copy
import http.server
import json
import re
import subprocess
import threading

import pytest

import templates
from invalid_templates import DROP, FAILED, REFUSED, ROWS, good
from service import GOLDSMITH, Service
from test_protocol import AIB, finished, fixture_arm

SOLD = '''
[[image]]
publisher = "Tests"
offer = "tiny"
sku = "sold"
generation = 2
[image.plan]
name = "silver"
product = "tiny"
publisher = "tests"
[[image.file]]
version = "1.0.0"
path = "{disk}"
format = "qcow2"
'''


class Scripts(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = b"echo hello\n" if self.path == "/hello.sh" else None
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def scripts():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invalid")
    templates.catalogue(folder / "data", folder)
    with (folder / "data" / "catalogue.toml").open("a") as catalogue:
        catalogue.write(SOLD.format(disk=folder / "tiny.qcow2"))
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    ask = fixture_arm(service)
    compute = "resourceGroups/rg/providers/Microsoft.Compute"
    assert ask("PUT", f"{compute}/galleries/g", "2024-03-03", json={"location": "westus2"}).ok
    launched = [{"name": "SecurityType", "value": "TrustedLaunch"}]
    for name, more in {
        "d": {}, "gen1": {"hyperVGeneration": "V1"}, "windows": {"osType": "Windows"},
        "launched": {"features": launched},
    }.items():
        properties = {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "p", "offer": "o", "sku": name}, **more,
        }
        answer = ask(
            "PUT", f"{compute}/galleries/g/images/{name}", "2024-03-03",
            json={"location": "westus2", "properties": properties},
        )
        assert answer.ok, answer.text
    disk = {"osType": "Linux", "osState": "Specialized", "blobUri": "https://x.example/y.vhd"}
    image = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    answer = ask(
        "PUT", f"{compute}/images/specialized", "2024-07-01",
        json={"location": "westus2", "properties": image},
    )
    assert answer.ok, answer.text
    return ask


def step(part):
    return int(part[1:-1]) if part.startswith("[") else part


def spoilt(template, changes):
    template = copy.deepcopy(template)
    for path, value in changes.items():
        *above, last = [step(part) for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)]
        place = template
        for part in above:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
        if value is DROP:
            del place[last]
        else:
            place[last] = value
    return template


def filled(template, subscription, scripts):
    text = json.dumps(template).replace("{subscription}", subscription).replace("{scripts}", scripts)
    return json.loads(text)


def made(row, subscription, scripts):
    template = good(scripts)
    if row.version < "2025-10-01":
        # What the version does not know yet is not the mistake that is meant.
        for name in ["errorHandling", "autoRun", "managedResourceTags", "optimize"]:
            template["properties"].pop(name)
    return filled(spoilt(template, row.changes), subscription, scripts)


def test_the_table_is_large_and_its_good_template_is_good(arm, service, scripts):
    assert len(ROWS) >= 60 and len({row.name for row in ROWS}) == len(ROWS)
    template = filled(good(scripts), service.subscription, scripts)
    answer = arm("PUT", f"resourceGroups/rg/{AIB}/good", "2025-10-01", json=template)
    assert answer.status_code == 201, answer.text
    assert finished(arm, answer)["status"] == "Succeeded"


# conformance: 16, 17, 18, 19, 20, 22, 23, 28, 29, 32, 35, 36, 41, 42, 44, 45, 47, 48, 49, 52, 55, 57, 58, 65, 72, 73, 74, 75, 76, 78, 79, 82, 90
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.name for row in ROWS])
def test_a_mistake_is_answered_with_code_field_and_remedy(arm, service, scripts, number):
    row = ROWS[number]
    path = f"resourceGroups/rg/{AIB}/row{number}"
    answer = arm("PUT", path, row.version, json=made(row, service.subscription, scripts))
    if row.how == REFUSED:
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert (error["code"], error.get("target")) == (row.code, row.path), error
        assert row.says in error["message"], error["message"]
        # One mistake is told once.
        assert not error.get("details"), error
        return
    assert row.how == FAILED and answer.status_code == 201, answer.text
    assert finished(arm, answer)["status"] == "Failed"
    properties = arm("GET", path, row.version).json()["properties"]
    assert properties["provisioningState"] == "Failed"
    error = properties["provisioningError"]
    assert error["provisioningErrorCode"] == row.code, error
    assert f"'{row.path}'" in error["message"], error["message"]
    assert row.says in error["message"], error["message"]


LOCAL = [row for row in ROWS if row.local]


@pytest.mark.parametrize("row", LOCAL, ids=[row.name for row in LOCAL])
def test_a_mistake_is_found_without_a_service(row, tmp_path):
    file = tmp_path / "template.json"
    template = made(row, "s", "https://example.com")
    file.write_text(json.dumps({"apiVersion": row.version, **template}))
    done = subprocess.run(
        [GOLDSMITH, "--output", "json", "validate", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 3, done.stdout
    errors = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [error for error in errors if error["kind"] == "error"]
    assert [(error["code"], error["target"]) for error in errors] == [(row.code, row.path)], errors
    assert errors[0]["line"] >= 1
    assert row.says in f"{errors[0]['message']} {errors[0]['hint']}", errors
