"""The meaning of `latest` in a source: at the creation of a template, and in each of its runs."""

from galleries import GALLERY_API, definition, gallery
from resource_manager import created, properties, ran, runs
from templates import body, latest_of, shared


def exact(arm, name):
    return properties(arm, name)["source"].get("exactVersion")


def published(service, version):
    """A new version of the tiny image in the catalogue."""
    catalogue = service.data / "catalogue.toml"
    disk = service.folder / "tiny.qcow2"
    with catalogue.open("a") as file:
        file.write(f'\n[[image.file]]\nversion = "{version}"\npath = "{disk}"\nformat = "qcow2"\n')


# conformance: 42, 43
def test_latest_is_resolved_at_creation_and_by_each_run(arm, service):
    made = body(service)
    created(arm, "early", made)
    assert exact(arm, "early") == "1.0.0"
    published(service, "1.1.0")
    created(arm, "late", made)
    assert (exact(arm, "early"), exact(arm, "late")) == ("1.0.0", "1.1.0")

    assert ran(arm, "early")["status"] == "Succeeded"
    assert exact(arm, "early") == "1.1.0"
    published(service, "1.2.0")
    assert ran(arm, "early")["status"] == "Succeeded"
    assert [run["exactVersion"] for run in runs(arm, "early")] == ["1.2.0", "1.1.0"]
    # A fixed version in a template does not follow the newest.
    made["properties"]["source"]["version"] = "1.0.0"
    made["properties"]["source"]["exactVersion"] = "7.7.7"
    created(arm, "fixed", made)
    assert ran(arm, "fixed")["status"] == "Succeeded"
    assert exact(arm, "fixed") == "1.0.0"


# conformance: 45, 46, 84
def test_gallery_latest_is_the_highest_version_not_excluded(arm, service):
    gallery(arm)
    image = definition(arm, "d")
    for version, excluded in [("1.9.0", False), ("1.10.0", False), ("2.0.0", True)]:
        made = body(service, distribute=[shared(
            f"{image}/versions/{version}", excludeFromLatest=excluded, targetRegions=[{"name": "westus2"}]
        )])
        name = f"into-{version}"
        created(arm, name, made)
        assert ran(arm, name)["status"] == "Succeeded"
    created(arm, "from", body(service, source=latest_of(image)))
    assert exact(arm, "from").lower() == f"{image}/versions/1.10.0".lower()
    assert ran(arm, "from")["status"] == "Succeeded"
    assert exact(arm, "from").lower() == f"{image}/versions/1.10.0".lower()
    # Excluded later: the next run ignores it.
    profile = {"publishingProfile": {"excludeFromLatest": True}}
    change = {"location": "westus2", "properties": profile}
    assert arm("PUT", f"{image}/versions/1.10.0", GALLERY_API, json=change).ok
    assert ran(arm, "from")["status"] == "Succeeded"
    assert exact(arm, "from").lower() == f"{image}/versions/1.9.0".lower()
