"""Sends what PowerShell's modules (Az.Accounts, Az.Resources, Az.ImageBuilder, Az.Compute, Az.ManagedServiceIdentity)
send, and polls as they do. No PowerShell runs here: the requests follow the modules' sources and recorded traffic."""

import http.client
import json
import ssl
import uuid

from service import ANSWERED_WITHIN_S, until

# Az.ImageBuilder 0.4, Az.ManagedServiceIdentity 1.2.
AIB_API = "2022-07-01"
IDENTITY_API = "2023-01-31"
# Az.Resources.
DEPLOYMENTS_API = "2024-11-01"
OLD_DEPLOYMENTS_API = "2019-10-01"
GROUPS_API = "2020-06-01"
ASSIGNMENTS_API = "2020-08-01-preview"
ROLES_API = "2022-05-01-preview"
# Where the modules round: the seconds part of 60 is 0, and 0 is no pause at all.
SLOWEST_POLL_S = 5
ENDS = ("succeeded", "failed", "canceled")


class Answer:
    def __init__(self, answer, request):
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.text = answer.read().decode()
        self.request = request

    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json()["error"]["code"]


class Client:
    """One client, which keeps paths as they are: `requests` removes repeated slashes."""

    def __init__(self, service):
        self.service = service
        self.context = ssl.create_default_context(cafile=service.ca)
        self.token = service.token()
        self.graph_token = service.token(f"{service.url}/graph//.default")

    def send(self, method, path, body=None, headers=None, token=None):
        line = http.client.HTTPSConnection(
            "localhost", self.service.port, timeout=ANSWERED_WITHIN_S, context=self.context
        )
        given = {"Accept": "application/json", **(headers or {})}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        try:
            line.request(method, path, body, given)
            return Answer(line.getresponse(), f"{method} {path}")
        finally:
            line.close()

    def arm(self, method, path, version, body=None, headers=None):
        """Hand-written modules (Az.Resources, Az.Compute): compact JSON with a charset."""
        given = {"User-Agent": "FxVersion/8.0.25.16207 AzurePowershell/v13.4.0", "Accept-Language": "en-US"}
        if body is not None:
            given["Content-Type"] = "application/json; charset=utf-8"
            body = json.dumps(body).encode()
        return self.send(method, self.at(path, version), body, given | (headers or {}), self.token)

    def generated(self, command, method, path, version, body=None):
        """Generated modules (Az.ImageBuilder, Az.ManagedServiceIdentity): indented JSON with CRLF, and none at all
        without a body."""
        given = {
            "x-ms-unique-id": "1", "x-ms-client-request-id": str(uuid.uuid4()), "CommandName": command,
            "FullCommandName": f"{command}_Expanded", "ParameterSetName": "__AllParameterSets",
            "User-Agent": "AzurePowershell/v13.4.0, PSVersion/v7.4.7, Az.ImageBuilder/0.4.2",
        }
        if body is not None:
            given["Content-Type"] = "application/json"
            text = body if isinstance(body, str) else json.dumps(body, indent=2)
            body = text.replace("\n", "\r\n").encode()
        return self.send(method, self.at(path, version), body, given, self.token)

    def graph(self, method, path, body=None, headers=None):
        given = {"Content-Type": "application/json"} if body is not None else {}
        body = None if body is None else json.dumps(body).encode()
        return self.send(method, f"/graph/v1.0/{path}", body, given | (headers or {}), self.graph_token)

    def follow(self, url):
        """GET of an absolute URL from a header, exactly as it came."""
        assert url.startswith(self.service.url + "/"), url
        return self.send("GET", url[len(self.service.url):], token=self.token)

    def at(self, path, version):
        path = path if path.startswith("/") else f"/subscriptions/{self.service.subscription}/{path}"
        mark = "&" if "?" in path else "?"
        return f"{path}{mark}api-version={version}"


def pause(answer):
    """The pause that the answer asks for; without the header it would be 30 s."""
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= SLOWEST_POLL_S, answer.headers
    return seconds


def polled(client, started, final=None):
    """The end of a long-running operation in a generated module: the state of `Azure-AsyncOperation`, and then a GET of
    `final`, or of the same URL again. Only 201 and 202 are polled."""
    assert started.status in (201, 202), started.text
    pause(started)
    url = started.headers["azure-asyncoperation"]

    def over():
        poll = client.follow(url)
        assert poll.status == 200, poll.text
        body = poll.json()
        state = (body.get("properties") or {}).get("provisioningState") or body.get("status")
        assert state, body
        if state.lower() in ENDS:
            return poll
        pause(poll)

    ended = until(over, f"{started.request} ends")
    return ended, final() if final else client.follow(url)


def deployed(client, group, name):
    """The rounds of New-AzResourceGroupDeployment after its PUT: the operations, then the deployment. Both must be
    there from the first moment. Returns the deployment and its operations."""
    path = f"resourcegroups/{group}/deployments/{name}/operations"
    own = f"resourcegroups/{group}/providers/Microsoft.Resources/deployments/{name}"

    def over():
        operations = client.arm("GET", path, DEPLOYMENTS_API)
        assert operations.status == 200, operations.text
        deployment = client.arm("GET", own, DEPLOYMENTS_API)
        assert deployment.status == 200, deployment.text
        state = deployment.json()["properties"]["provisioningState"]
        if state.lower() in ENDS:
            assert "retry-after" not in deployment.headers
            return deployment.json(), client.arm("GET", path, DEPLOYMENTS_API).json()["value"]
        pause(deployment)

    return until(over, f"{name} is deployed")
