"""The server is killed at random moments while it is written to: nothing acknowledged is lost, no run is stuck."""

import itertools
import random
import threading
import time

import pytest
import requests

import templates
from service import Service

KILLS = 50
AIB = "providers/Microsoft.VirtualMachineImages/imageTemplates"
OVER = {"Succeeded", "PartiallySucceeded", "Failed", "Canceled"}


class Writer(threading.Thread):
    """Creates templates, runs every third, deletes every fifth, until the server is gone."""

    def __init__(self, service, session, numbers, kept, gone, runs):
        super().__init__()
        self.service, self.session, self.numbers = service, session, numbers
        self.kept, self.gone, self.runs = kept, gone, runs
        self.wrong = None

    def url(self, path):
        return (f"{self.service.url}/subscriptions/{self.service.subscription}/resourceGroups/rg/"
                f"{path}{'&' if '?' in path else '?'}api-version=2024-02-01")

    def run(self):
        try:
            while True:
                self.one(next(self.numbers))
        except requests.RequestException:
            return
        except AssertionError as wrong:
            self.wrong = wrong

    def one(self, number):
        name = f"t{number}"
        image = templates.managed(self.service.subscription, f"i{number}")
        made = templates.body(self.service, distribute=[image])
        put = self.session.put(self.url(f"{AIB}/{name}"), json=made, timeout=30)
        assert put.status_code == 201, put.text
        self.kept.add(name)
        while self.state(name) == "Creating":
            pass
        if number % 3 == 0:
            run = self.session.post(self.url(f"{AIB}/{name}/run"), timeout=30)
            assert run.status_code == 202, run.text
            self.runs.add(name)
        elif number % 5 == 0:
            self.kept.discard(name)
            delete = self.session.delete(self.url(f"{AIB}/{name}"), timeout=30)
            assert delete.status_code == 202, delete.text
            self.gone.add(name)

    def state(self, name):
        shown = self.session.get(self.url(f"{AIB}/{name}"), timeout=30)
        assert shown.status_code == 200, shown.text
        return shown.json()["properties"]["provisioningState"]


@pytest.fixture
def service(tmp_path):
    templates.catalogue(tmp_path / "data", tmp_path)
    service = Service(tmp_path).start()
    yield service
    service.stop()


def all_templates(service, session):
    url = (f"{service.url}/subscriptions/{service.subscription}/resourceGroups/rg/{AIB}"
           "?api-version=2024-02-01")
    found = {}
    while url:
        page = session.get(url, timeout=30).json()
        found.update({one["name"]: one for one in page["value"]})
        url = page.get("nextLink")
    return found


def settled(template):
    properties = template["properties"]
    run = properties.get("lastRunStatus")
    return properties["provisioningState"] in {"Succeeded", "Failed"} and (
        run is None or run["runState"] in OVER
    )


# conformance: 137
def test_kill_9_at_any_moment(service):
    chance = random.Random(20261124)
    numbers, kept, gone, runs = itertools.count(), set(), set(), set()
    session = service.session()
    base = f"{service.url}/subscriptions/{service.subscription}"
    session.put(f"{base}/resourcegroups/rg?api-version=2024-11-01", json={"location": "westus2"})
    session.put(
        f"{base}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
        "?api-version=2024-11-30", json={"location": "westus2"},
    )
    for _ in range(KILLS):
        writer = Writer(service, session, numbers, kept, gone, runs)
        writer.start()
        time.sleep(chance.uniform(0.05, 0.8))  # the moment of death is the point of the test
        service.kill()
        writer.join()
        assert writer.wrong is None, writer.wrong
        service.start()
        found = all_templates(service, session)
        assert kept <= set(found), f"lost: {kept - set(found)}"

    deadline = time.monotonic() + 120
    while True:
        found = all_templates(service, session)
        stuck = [name for name, one in found.items() if not settled(one)]
        left = gone & set(found)
        if not stuck and not left:
            break
        assert time.monotonic() < deadline, f"stuck: {stuck}, not deleted: {left}"
    assert len(kept) > KILLS and runs, "the writers got something done"
    assert all(found[name]["properties"].get("lastRunStatus") for name in runs & set(found))
    print(f"{len(kept)} templates kept, {len(gone)} deleted, {len(runs)} runs, {KILLS} kills")
