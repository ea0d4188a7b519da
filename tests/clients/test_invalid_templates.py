"""Every row of the table of invalid templates, over HTTP and through `goldsmith validate`."""

import copy
import json
import re
import subprocess

import pytest

from galleries import definition, gallery
from invalid_templates import DROP, FAILED, REFUSED, ROWS, good
from resource_manager import COMPUTE, created, finished, path
from service import GOLDSMITH

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


@pytest.fixture(scope="module")
def folder(folder):
    with (folder / "data" / "catalogue.toml").open("a") as catalogue:
        catalogue.write(SOLD.format(disk=folder / "tiny.qcow2"))
    return folder


@pytest.fixture(scope="module")
def arm(arm):
    gallery(arm)
    definition(arm, "d")
    definition(arm, "gen1", hyperVGeneration="V1")
    definition(arm, "windows", osType="Windows")
    definition(arm, "launched", features=[{"name": "SecurityType", "value": "TrustedLaunch"}])
    disk = {"osType": "Linux", "osState": "Specialized", "blobUri": "https://x.example/y.vhd"}
    image = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    answer = arm(
        "PUT", f"{COMPUTE}/images/specialized", "2024-07-01",
        json={"location": "westus2", "properties": image},
    )
    assert answer.ok, answer.text
    return arm


def step(part):
    return int(part[1:-1]) if part.startswith("[") else part


def spoilt(template, changes):
    template = copy.deepcopy(template)
    for where, value in changes.items():
        *above, last = [step(part) for part in re.findall(r"\[\d+\]|[^.\[\]]+", where)]
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
        # A field that the version does not know would cause another error than the intended one.
        for name in ["errorHandling", "autoRun", "managedResourceTags", "optimize"]:
            template["properties"].pop(name)
    return filled(spoilt(template, row.changes), subscription, scripts)


def test_table_is_large_and_its_valid_template_is_accepted(arm, service, scripts):
    assert len(ROWS) >= 60 and len({row.name for row in ROWS}) == len(ROWS)
    template = filled(good(scripts.url), service.subscription, scripts.url)
    created(arm, "good", template, "2025-10-01")


# conformance: 16, 17, 18, 19, 20, 22, 23, 28, 29, 32, 35, 36, 41, 42, 44, 45, 47, 48, 49, 52, 55, 57, 58, 65, 72, 73, 74, 75, 76, 78, 79, 82, 90
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.name for row in ROWS])
def test_mistake_is_reported_with_code_field_and_remedy(arm, service, scripts, number):
    row = ROWS[number]
    name = f"row{number}"
    answer = arm("PUT", path(name), row.version, json=made(row, service.subscription, scripts.url))
    if row.how == REFUSED:
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert (error["code"], error.get("target")) == (row.code, row.path), error
        assert row.says in error["message"], error["message"]
        # One mistake causes one error.
        assert not error.get("details"), error
        return
    assert row.how == FAILED and answer.status_code == 201, answer.text
    assert finished(arm, answer)["status"] == "Failed"
    properties = arm("GET", path(name), row.version).json()["properties"]
    assert properties["provisioningState"] == "Failed"
    error = properties["provisioningError"]
    assert error["provisioningErrorCode"] == row.code, error
    assert f"'{row.path}'" in error["message"], error["message"]
    assert row.says in error["message"], error["message"]


LOCAL = [row for row in ROWS if row.local]


@pytest.mark.parametrize("row", LOCAL, ids=[row.name for row in LOCAL])
def test_mistake_is_found_without_a_service(row, tmp_path):
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
