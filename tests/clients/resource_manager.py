"""Calls a service's resource manager over plain HTTP: templates in the group `rg`, and their runs."""

import uuid

from service import until

AIB = "providers/Microsoft.VirtualMachineImages/imageTemplates"
COMPUTE = "resourceGroups/rg/providers/Microsoft.Compute"
IDENTITIES = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
API = "2024-02-01"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"


def asks(service, version=API):
    """A function that sends requests over its own connection, by default with this version."""
    session = service.session()

    def ask(method, path, version=version, **more):
        if not path.startswith("/subscriptions/"):
            path = f"/subscriptions/{service.subscription}/{path}"
        mark = "&" if "?" in path else "?"
        query = f"{mark}api-version={version}" if version else ""
        return session.request(method, f"{service.url}{path}{query}", **more)

    return ask


def asks_in_group(service):
    """Like `asks`; the group exists and contains an identity."""
    arm = asks(service)
    assert arm("PUT", "resourcegroups/rg", json={"location": "westus2"}).status_code == 201
    identity(arm, "builder")
    return arm


def identity(arm, name):
    """An identity that may do all that a template needs."""
    made = arm("PUT", f"{IDENTITIES}/{name}", "2024-11-30", json={"location": "westus2"})
    assert made.status_code == 201, made.text
    may_build(arm, made.json()["properties"]["principalId"])


def may_build(arm, principal):
    """Gives a principal the rights that a template needs, in the subscription."""
    for role in (CONTRIBUTOR, BLOB_READER):
        assign(arm, principal, role)


def assign(arm, principal, role):
    """Gives a principal a role in the subscription."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{principal} {role}")
    put = arm("PUT", f"providers/Microsoft.Authorization/roleAssignments/{name}", "2022-04-01", json={"properties": {
        "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId": principal, "principalType": "ServicePrincipal",
    }})
    assert put.status_code in (200, 201), put.text


def path_of(url):
    """The path for `asks` from a URL of the service."""
    return "/subscriptions/" + url.split("/subscriptions/")[1]


def code(answer):
    return answer.json()["error"]["code"]


def finished(arm, answer):
    """Waits for the operation that the answer started, and returns it."""
    path = path_of(answer.headers["Azure-AsyncOperation"])

    def over():
        poll = arm("GET", path, None)
        assert poll.status_code == 200
        if poll.json()["status"] != "InProgress":
            return poll.json()
        assert int(poll.headers["Retry-After"]) >= 1

    return until(over, f"{path} ends")


def path(name):
    return f"resourceGroups/rg/{AIB}/{name}"


def shown(arm, name):
    return arm("GET", path(name)).json()


def properties(arm, name):
    return shown(arm, name)["properties"]


def create(arm, name, made, *version):
    """Creates a template, waits, and returns the operation."""
    put = arm("PUT", path(name), *version, json=made)
    assert put.status_code == 201, put.text
    return finished(arm, put)


def created(arm, name, made, *version):
    done = create(arm, name, made, *version)
    assert done["status"] == "Succeeded", done


def delete(arm, name):
    return finished(arm, arm("DELETE", path(name)))


def begun(arm, name):
    """Starts a run and returns the answer."""
    return arm("POST", f"{path(name)}/run")


def ran(arm, name):
    """Runs a template, waits, and returns the operation."""
    return finished(arm, begun(arm, name))


def cancel(arm, name, run):
    assert arm("POST", f"{path(name)}/cancel").status_code == 204
    assert finished(arm, run)["status"] == "Canceled"


def last_run(arm, name):
    return properties(arm, name)["lastRunStatus"]


def run_ids(arm, name):
    """Newest first."""
    return [run["name"] for run in arm("GET", f"{path(name)}/runs").json()["value"]]


def runs(arm, name):
    """Newest first."""
    return [run["properties"] for run in arm("GET", f"{path(name)}/runs").json()["value"]]


def over(arm, name, count):
    """Waits until the template has `count` runs and the newest has ended, and returns the newest."""
    def is_over():
        found = runs(arm, name)
        assert len(found) <= count, found
        return found[0] if len(found) == count and "endTime" in found[0] else None
    return until(is_over, f"run {count} of {name} is over")


def output(arm, name, run_output):
    return arm("GET", f"{path(name)}/runOutputs/{run_output}").json()["properties"]
