"""What `latest` of a source stands for: when a template is created, and in each of its runs."""

import pytest

import templates
from service import Service
from templates import body
from test_protocol import AIB, finished, fixture_arm


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    templates.catalogue(folder / "data", folder)
    service = Service(folder).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def arm(service):
    return fixture_arm(service)


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def exact(arm, name):
    return arm("GET", path(name)).json()["properties"]["source"].get("exactVersion")


def published(service, version):
    """A new version of the tiny image in the catalogue."""
    catalogue = service.data / "catalogue.toml"
    disk = service.folder / "tiny.qcow2"
    with catalogue.open("a") as file:
        file.write(f'\n[[image.file]]\nversion = "{version}"\npath = "{disk}"\nformat = "qcow2"\n')


# conformance: 42, 43
def test_latest_is_looked_up_at_creation_and_by_each_run(arm, service):
    made = body(service)
    assert finished(arm, arm("PUT", path("early"), json=made))["status"] == "Succeeded"
    assert exact(arm, "early") == "1.0.0"
    published(service, "1.1.0")
    assert finished(arm, arm("PUT", path("late"), json=made))["status"] == "Succeeded"
    assert (exact(arm, "early"), exact(arm, "late")) == ("1.0.0", "1.1.0")

    assert finished(arm, arm("POST", f"{path('early')}/run"))["status"] == "Succeeded"
    assert exact(arm, "early") == "1.1.0"
    published(service, "1.2.0")
    assert finished(arm, arm("POST", f"{path('early')}/run"))["status"] == "Succeeded"
    runs = arm("GET", f"{path('early')}/runs").json()["value"]
    assert [run["properties"]["exactVersion"] for run in runs] == ["1.2.0", "1.1.0"]
    # What a template says for good is not changed by the newest.
    made["properties"]["source"]["version"] = "1.0.0"
    made["properties"]["source"]["exactVersion"] = "7.7.7"
    assert finished(arm, arm("PUT", path("fixed"), json=made))["status"] == "Succeeded"
    assert finished(arm, arm("POST", f"{path('fixed')}/run"))["status"] == "Succeeded"
    assert exact(arm, "fixed") == "1.0.0"


# conformance: 45, 46, 84
def test_latest_of_a_gallery_is_the_highest_that_is_not_excluded(arm, service):
    compute = "resourceGroups/rg/providers/Microsoft.Compute"
    definition = f"{compute}/galleries/g/images/d"
    assert arm("PUT", f"{compute}/galleries/g", "2024-03-03", json={"location": "westus2"}).ok
    properties = {
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
    }
    place = {"location": "westus2", "properties": properties}
    assert arm("PUT", definition, "2024-03-03", json=place).ok
    whole = f"/subscriptions/{service.subscription}/{definition}"
    for version, excluded in [("1.9.0", False), ("1.10.0", False), ("2.0.0", True)]:
        made = body(service)
        made["properties"]["distribute"] = [{
            "type": "SharedImage", "runOutputName": "v", "excludeFromLatest": excluded,
            "galleryImageId": f"{whole}/versions/{version}", "targetRegions": [{"name": "westus2"}],
        }]
        name = f"into-{version}"
        assert finished(arm, arm("PUT", path(name), json=made))["status"] == "Succeeded"
        assert finished(arm, arm("POST", f"{path(name)}/run"))["status"] == "Succeeded"
    made = body(service)
    made["properties"]["source"] = {
        "type": "SharedImageVersion", "imageVersionId": f"{whole}/versions/latest",
    }
    assert finished(arm, arm("PUT", path("from"), json=made))["status"] == "Succeeded"
    assert exact(arm, "from").lower() == f"{whole}/versions/1.10.0".lower()
    assert finished(arm, arm("POST", f"{path('from')}/run"))["status"] == "Succeeded"
    assert exact(arm, "from").lower() == f"{whole}/versions/1.10.0".lower()
    # Excluded later on: the next run does without.
    profile = {"publishingProfile": {"excludeFromLatest": True}}
    change = {"location": "westus2", "properties": profile}
    assert arm("PUT", f"{definition}/versions/1.10.0", "2024-03-03", json=change).ok
    assert finished(arm, arm("POST", f"{path('from')}/run"))["status"] == "Succeeded"
    assert exact(arm, "from").lower() == f"{whole}/versions/1.9.0".lower()
