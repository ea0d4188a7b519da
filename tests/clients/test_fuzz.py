"""No request causes a server error or a late answer. The examples are the same in each run."""

import copy
import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import templates
from resource_manager import AIB
from service import ANSWERED_WITHIN_S

FEW = settings(
    deadline=None, derandomize=True, database=None, max_examples=20, suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=500)


@pytest.fixture(scope="module")
def session(arm, service):
    return service.session()


@pytest.fixture(scope="module")
def description(service):
    return schemathesis.openapi.from_dict(service.session().get(f"{service.url}/openapi.json").json())


def test_any_call_causes_no_server_error(service, session, description):
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) > 40
    for operation in operations:
        ask(service, session, operation)


def ask(service, session, operation):
    version = next(p for p in operation.definition.raw["parameters"] if p["name"] == "api-version")

    @FEW
    @given(case=operation.as_strategy())
    def examples(case):
        # With another subscription or version, a call would be rejected before it reaches its handler.
        case.path_parameters["subscriptionId"] = service.subscription
        if not operation.path.endswith("{resourceGroupName}"):
            case.path_parameters["resourceGroupName"] = "rg"
        case.query = {**(case.query or {}), "api-version": version["schema"]["example"]}
        answer = case.call(base_url=service.url, session=session, verify=service.ca, timeout=ANSWERED_WITHIN_S)
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])

    examples()


def places(value, path=()):
    """The path to each part of a document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def whole(subscription):
    """A template that uses most fields."""
    made = templates.web(subscription, "rg", "gallery", "definition")
    del made["type"], made["apiVersion"]
    made["properties"] |= {
        "vmProfile": {
            "vmSize": "Standard_D1_v2", "osDiskSizeGB": 30, "userAssignedIdentities": [],
        },
        "validate": {
            "continueDistributeOnFailure": True, "sourceValidationOnly": False,
            "inVMValidations": [{"type": "Shell", "inline": ["true"]}],
        },
        "optimize": {"vmBoot": {"state": "Enabled"}},
        "errorHandling": {"onCustomizerError": "cleanup", "onValidationError": "cleanup"},
        "buildTimeoutInMinutes": 60,
        "stagingResourceGroup": "",
        "autoRun": {"state": "Disabled"},
        "managedResourceTags": {"a": "b"},
    }
    made["properties"]["distribute"][1]["versioning"] = {"scheme": "Latest", "major": 1}
    made["properties"]["customize"] += [
        {"type": "File", "sourceUri": "https://localhost:1/x", "destination": "/tmp/x", "sha256Checksum": ""},
        {"type": "PowerShell", "inline": ["1"], "validExitCodes": [0], "runElevated": True},
        {"type": "WindowsRestart", "restartTimeout": "5m"},
        {"type": "WindowsUpdate", "filters": ["include:$true"], "updateLimit": 20},
    ]
    return made


# A new name for each example, because a template that is still being created answers all later calls.
NUMBERS = itertools.count()
PLACES = [place for place in places(whole("s")) if place]
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.text(max_size=20) | some.sampled_from(
        [0, -1, 961, 2**31, 2**63, -(2**63) - 1, 1.5, 1e300, "", " ", "/", "//", "\0", "..", "é" * 70]
    ),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(some.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


def template_url(service, name, version):
    group = f"{service.url}/subscriptions/{service.subscription}/resourceGroups/rg"
    return f"{group}/{AIB}/{name}?api-version={version}"


def test_template_of_the_fuzzer_is_valid(service, session):
    url = template_url(service, "good", "2025-10-01")
    answer = session.put(url, json=whole(service.subscription), timeout=ANSWERED_WITHIN_S)
    assert answer.status_code == 201, answer.text


@MANY
@given(place=some.sampled_from(PLACES), value=ANYTHING, version=some.sampled_from(["2022-07-01", "2025-10-01"]))
def test_any_template_causes_no_server_error(service, session, place, value, version):
    made = copy.deepcopy(whole(service.subscription))
    part = made
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    url = template_url(service, f"fuzz-{next(NUMBERS)}", version)
    for method in ["PUT", "PATCH", "DELETE"]:
        answer = session.request(method, url, json=made, timeout=ANSWERED_WITHIN_S)
        assert answer.status_code < 500, f"{method} {place} = {value!r}: {answer.text}"
