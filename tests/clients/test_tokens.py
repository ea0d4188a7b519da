"""Tokens that expire or are revoked during a run: commands renew theirs, streams end with them."""

import json
import subprocess
import time

import pytest
import requests

from command_line import call_beside, environment, signed_in
from resource_manager import asks, asks_in_group, begun, created, last_run, output, path, ran, run_ids
from service import ANSWERED_WITHIN_S, GOLDSMITH, WITHIN_S, until
from templates import FOREVER, body, vhd

ACCESS_DENIED = 7
CANCELED = 130


@pytest.fixture(scope="module")
def flags():
    return ["--token-lifetime", "3s"]


@pytest.fixture(scope="module")
def arm(service):
    """A function that requests a new token for each call."""
    asks_in_group(service)
    return lambda *words, **more: asks(service)(*words, **more)


def is_refused(service, token):
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{service.url}/subscriptions?api-version=2022-12-01"
    answer = requests.get(url, headers=headers, verify=service.ca, timeout=ANSWERED_WITHIN_S)
    return answer.status_code == 401


def expired(service):
    """Waits until all previously issued tokens have expired."""
    token = service.token()
    until(lambda: is_refused(service, token), "the token expires")


def goldsmith(home, *words):
    """Starts a command."""
    return subprocess.Popen(
        [GOLDSMITH, "--output", "json", *words], env=environment(home), stdout=subprocess.PIPE, text=True
    )


def ended(process):
    """Waits for the command. Returns the exit code and the last line of output."""
    said, _ = process.communicate(timeout=WITHIN_S)
    return process.returncode, json.loads(said.splitlines()[-1])


def at_work(arm, service, name, **more):
    """Starts a run that lasts until it is canceled."""
    created(arm, name, body(service, customize=FOREVER, **more))
    assert begun(arm, name).status_code == 202
    until(lambda: last_run(arm, name).get("runSubState") == "Customizing", "the run is at its customizer")


def test_run_longer_than_the_token_ends_with_its_result(arm, service, tmp_path):
    created(arm, "long", body(service, customize=FOREVER))
    signed_in(service, tmp_path)
    follower = goldsmith(tmp_path, "run", "start", "rg/long")
    until(lambda: arm("GET", path("long")).json()["properties"].get("lastRunStatus"), "the run begins")
    expired(service)
    expired(service)
    assert follower.poll() is None, ended(follower)
    assert arm("POST", f"{path('long')}/cancel").status_code == 204
    code, said = ended(follower)
    assert (code, said["code"]) == (CANCELED, "Canceled"), said


def test_revoked_principal_is_denied_with_its_own_exit_code(arm, service, tmp_path):
    at_work(arm, service, "watched")
    code, other = call_beside(service, "admin", "sp", "create", "other", "--role", "Reader")
    assert code == 0, other
    signed_in(service, tmp_path, credentials={**service.credentials, **other})
    follower = goldsmith(tmp_path, "run", "watch", "rg/watched")
    until(lambda: '"stepStarted"' in follower.stdout.readline(), "the run is followed")
    code, said = call_beside(service, "admin", "sp", "revoke", other["clientId"])
    assert code == 0, said
    code, said = ended(follower)
    assert (code, said["code"]) == (ACCESS_DENIED, "AccessDenied"), said
    code, said = ended(goldsmith(tmp_path, "run", "logs", "rg/watched"))
    assert (code, said["code"]) == (ACCESS_DENIED, "AccessDenied"), said
    assert last_run(arm, "watched")["runState"] == "Running"
    arm("POST", f"{path('watched')}/cancel")


def test_event_stream_ends_with_its_token(arm, service):
    at_work(arm, service, "streamed")
    (run,) = run_ids(arm, "streamed")
    url = f"{service.url}/subscriptions/{service.subscription}/{path('streamed')}/runs/{run}/events"
    stream = service.session().get(f"{url}?api-version=2024-02-01", stream=True)
    deadline = time.monotonic() + WITHIN_S
    for _ in stream.iter_content(None):
        assert time.monotonic() < deadline, "the stream outlives its token"
    assert last_run(arm, "streamed")["runState"] == "Running"
    arm("POST", f"{path('streamed')}/cancel")


def test_download_ends_when_its_token_expires(arm, service):
    created(arm, "disk", body(service, distribute=[vhd()]))
    assert ran(arm, "disk")["status"] == "Succeeded"
    blob = output(arm, "disk", "disk")["artifactUri"]
    answer = service.session().get(blob, stream=True)
    assert answer.status_code == 200
    content = answer.iter_content(1 << 16)
    next(content)
    expired(service)
    # The rest is larger than the buffers of the sockets.
    with pytest.raises(requests.RequestException):
        for _ in content:
            pass
