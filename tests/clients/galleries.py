"""Galleries in the group `rg`, with definitions and versions."""

from resource_manager import COMPUTE

GALLERY_API = "2024-03-03"


def gallery(arm, name="g", location="westus2"):
    made = arm("PUT", f"{COMPUTE}/galleries/{name}", GALLERY_API, json={"location": location})
    assert made.status_code == 201, made.text


def definition(arm, name, gallery="g", location="westus2", **more):
    """Creates a definition and returns its id."""
    made = arm("PUT", f"{COMPUTE}/galleries/{gallery}/images/{name}", GALLERY_API, json={
        "location": location,
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "p", "offer": "o", "sku": name}, **more,
        },
    })
    assert made.status_code in (200, 201), made.text
    return made.json()["id"]


def replication(arm, version_id):
    """The state of a version, the aggregated state of its regions, and each region by name."""
    shown = arm("GET", f"{version_id}?$expand=ReplicationStatus", GALLERY_API).json()["properties"]
    status = shown["replicationStatus"]
    summary = {region["region"]: region for region in status["summary"]}
    return shown["provisioningState"], status["aggregatedState"], summary
