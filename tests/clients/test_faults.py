"""The server is killed at random moments during writes: no acknowledged write is lost, no run is stuck."""

import itertools
import random
import threading
import time

import requests

from resource_manager import AIB, begun, path, path_of
from templates import body, managed

KILLS = 50
# On a busy machine, the writers do less between two kills.
KILLS_AT_MOST = 500
SETTLED_WITHIN_S = 300
OVER = {"Succeeded", "PartiallySucceeded", "Failed", "Canceled"}


class Writer(threading.Thread):
    """Creates templates, runs every third, and deletes every fifth, until the server is killed."""

    def __init__(self, service, arm, numbers, remaining, gone, runs):
        super().__init__()
        self.service, self.arm, self.numbers = service, arm, numbers
        self.remaining, self.gone, self.runs = remaining, gone, runs
        self.wrong = None

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
        image = managed(self.service.subscription, f"i{number}")
        put = self.arm("PUT", path(name), json=body(self.service, distribute=[image]))
        assert put.status_code == 201, put.text
        self.remaining.add(name)
        while self.state(name) == "Creating":
            pass
        if number % 3 == 0:
            run = begun(self.arm, name)
            assert run.status_code == 202, run.text
            self.runs.add(name)
        elif number % 5 == 0:
            self.remaining.discard(name)
            delete = self.arm("DELETE", path(name))
            assert delete.status_code == 202, delete.text
            self.gone.add(name)

    def state(self, name):
        shown = self.arm("GET", path(name))
        assert shown.status_code == 200, shown.text
        return shown.json()["properties"]["provisioningState"]


def all_templates(arm):
    found = {}
    page = arm("GET", f"resourceGroups/rg/{AIB}").json()
    while True:
        found.update({one["name"]: one for one in page["value"]})
        if "nextLink" not in page:
            return found
        page = arm("GET", path_of(page["nextLink"]), None).json()


def settled(template):
    properties = template["properties"]
    run = properties.get("lastRunStatus")
    return properties["provisioningState"] in {"Succeeded", "Failed"} and (
        run is None or run["runState"] in OVER
    )


# conformance: 137
def test_kill_9_at_any_moment_loses_no_acknowledged_write(arm, service):
    chance = random.Random(20261124)
    numbers, remaining, gone, runs = itertools.count(), set(), set(), set()
    kills = 0
    while kills < KILLS or len(remaining) <= KILLS or not runs:
        assert kills < KILLS_AT_MOST, "the writers got something done"
        kills += 1
        writer = Writer(service, arm, numbers, remaining, gone, runs)
        writer.start()
        time.sleep(chance.uniform(0.05, 0.8))  # the moment of death is the point of the test
        service.kill()
        writer.join()
        assert writer.wrong is None, writer.wrong
        service.start()
        found = all_templates(arm)
        assert remaining <= set(found), f"lost: {remaining - set(found)}"

    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        found = all_templates(arm)
        stuck = [name for name, one in found.items() if not settled(one)]
        left = gone & set(found)
        if not stuck and not left:
            break
        assert time.monotonic() < deadline, f"stuck: {stuck}, not deleted: {left}"
    assert all(found[name]["properties"].get("lastRunStatus") for name in runs & set(found))
    print(f"{len(remaining)} templates remaining, {len(gone)} deleted, {len(runs)} runs, {kills} kills")
