"""Large deployments: the server is killed at random moments of them, and clients interfere with them.

GOLDSMITH_SEED=N chooses the moments."""

import datetime
import os
import random

import pytest

from large_deployments import (
    IN_A_MODULE, MODULES, RESOURCES, SUBNETS, Deployment, hundred, orphan, pages, template,
)
from service import until

KILLS = 20
# A deployment that was faster than the kill does not count.
KILLS_AT_MOST = 60
OUTPUTS = "EvaluateDeploymentOutput"
CREATE = "Create"


@pytest.fixture(scope="module")
def chance():
    seed = int(os.environ.get("GOLDSMITH_SEED", "20261130"))
    print(f"GOLDSMITH_SEED={seed}")
    return random.Random(seed)


def restarted_in(service, deployment, steps):
    """Kills the server as soon as that many steps of the deployment have ended, and starts it again. Returns whether
    the deployment was interrupted."""
    until(lambda: deployment.count("Succeeded") >= steps, f"{steps} steps have ended")
    service.kill()
    killed = datetime.datetime.now(datetime.timezone.utc)
    service.start()
    until(deployment.is_over, f"{deployment.group} is deployed")
    return datetime.datetime.fromisoformat(deployment.shown()["timestamp"]) > killed


def check_made_once(arm, deployment, resources):
    """The deployment succeeded, with one operation for each resource, and wrote each resource once."""
    shown = deployment.shown()
    assert shown["provisioningState"] == "Succeeded", shown
    operations = deployment.operations()
    assert {one["provisioningState"] for one in operations} == {"Succeeded"}, operations
    kinds = [one["provisioningOperation"] for one in operations]
    assert sorted(kinds) == [CREATE] * resources + [OUTPUTS]
    targets = [one["targetResource"] for one in operations if one["provisioningOperation"] == CREATE]
    ids = {target["id"].lower() for target in targets}
    assert len(ids) == resources
    assert ids == {one["id"].lower() for one in shown["outputResources"]}
    for target in targets:
        check_written_once(arm, target)
    return ids


def check_written_once(arm, target):
    answer = arm("GET", target["id"], target["apiVersion"])
    assert answer.status_code == 200, answer.text
    properties = answer.json()["properties"]
    match target["resourceType"]:
        case "Microsoft.Resources/deployments":
            assert properties["provisioningState"] == "Succeeded"
        case "Microsoft.Authorization/roleAssignments":
            assert properties["createdOn"] == properties["updatedOn"]
        case _:
            # Each subnet is a write of its network, too.
            writes = 1 + SUBNETS if target["id"].endswith("/virtualNetworks/net-0") else 1
            assert answer.headers["ETag"].endswith(f'-{writes}"'), (target, answer.headers["ETag"])


def check_complete(arm, deployment):
    """All resources of `hundred`, and nothing else, in the group and in its history."""
    made = check_made_once(arm, deployment, RESOURCES)
    for number in range(MODULES):
        module = Deployment(arm, deployment.group, f"module-{number}")
        made |= check_made_once(arm, module, IN_A_MODULE)
    assert len(made) == RESOURCES + MODULES * IN_A_MODULE
    group = f"resourceGroups/{deployment.group}"
    listed = [one["id"].lower() for one in pages(arm, f"{group}/resources", "2021-04-01")]
    assert len(listed) == len(set(listed)) and set(listed) <= made
    roles = pages(arm, f"{group}/providers/Microsoft.Authorization/roleAssignments", "2022-04-01")
    own = [one["id"].lower() for one in roles if one["id"].lower() in made]
    assert len(own) == len(set(own)) == sum("/roleassignments/" in one for one in made)
    history = pages(arm, f"{group}/providers/Microsoft.Resources/deployments/")
    names = sorted(one["name"] for one in history)
    assert names == sorted(["main", *(f"module-{number}" for number in range(MODULES))])


def test_kill_9_at_any_moment_ends_as_one_complete_deployment(arm, service, chance):
    interrupted = 0
    for kill in range(KILLS_AT_MOST):
        if interrupted == KILLS:
            break
        deployment = Deployment(arm, f"killed-{kill}")
        deployment.put_group()
        put = deployment.put(hundred())
        assert put.status_code == 201, put.text
        interrupted += restarted_in(service, deployment, chance.randrange(RESOURCES))
        check_complete(arm, deployment)
    print(f"{interrupted} deployments were interrupted")
    assert interrupted == KILLS, "the server was killed in time"


def test_deployment_that_is_killed_again_and_again_is_complete(arm, service, chance):
    deployment = Deployment(arm, "killed-often")
    deployment.put_group()
    assert deployment.put(hundred()).status_code == 201
    for steps in sorted(chance.sample(range(RESOURCES), 5)):
        until(lambda: deployment.count("Succeeded") >= steps, f"{steps} steps have ended")
        service.kill()
        service.start()
    until(deployment.is_over, "the deployment is over")
    check_complete(arm, deployment)


def test_active_deployment_is_canceled_with_the_one_in_it(arm):
    deployment = Deployment(arm, "canceled")
    module = Deployment(arm, deployment.group, "waits")
    deployment.put_group()
    content = hundred()
    content["resources"].append({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": module.name,
        "properties": {
            "mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"}, "template": template([orphan()]),
        },
    })
    assert deployment.put(content).status_code == 201
    # All but the module, which ends only by a cancellation.
    until(lambda: deployment.count("Succeeded") == RESOURCES, "the others are made")
    until(lambda: module.ask("GET").ok and module.count("Running") == 1, "the module waits")
    for one in (deployment, module):
        refused = [one.put(template([])), one.ask("DELETE")]
        assert [answer.status_code for answer in refused] == [409, 409]
        assert {answer.json()["error"]["code"] for answer in refused} == {"DeploymentActive"}
    assert deployment.ask("POST", "/cancel").status_code == 204
    for one in (deployment, module):
        shown = one.shown()
        assert (shown["provisioningState"], shown["error"]["code"]) == ("Canceled", "DeploymentCanceled")
        assert one.count("Canceled") == 1 and one.count("Running") == 0
        assert one.ask("POST", "/cancel").json()["error"]["code"] == "DeploymentCannotBeCancelled"
    # What was made stays, and another deployment takes it over without making it again.
    again = deployment.put(hundred())
    assert again.status_code == 201, again.text
    until(deployment.is_over, "the next one is over")
    shown = deployment.shown()
    assert shown["provisioningState"] == "Succeeded", shown.get("error")


def test_cancellation_amid_many_resources_starts_no_further_ones(arm):
    deployment = Deployment(arm, "stopped")
    deployment.put_group()
    content = hundred()
    # The networks wait for a resource that is never made.
    missing = "[resourceId('Microsoft.Compute/galleries/images', 'none', 'image')]"
    late = [one for one in content["resources"] if one["type"].startswith("Microsoft.Network")]
    for one in late:
        one["dependsOn"] = [*one.get("dependsOn", []), missing]
    content["resources"].append(orphan())
    assert deployment.put(content).status_code == 201
    others = RESOURCES - sum(one["copy"]["count"] for one in late)
    until(lambda: deployment.count("Succeeded") == others, "what waits for nothing is made")
    assert deployment.ask("POST", "/cancel").status_code == 204
    assert len(deployment.operations()) == others + 1
    networks = f"resourceGroups/{deployment.group}/providers/Microsoft.Network/virtualNetworks"
    assert arm("GET", networks, "2024-07-01").json()["value"] == []
