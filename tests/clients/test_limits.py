"""Limits on connections, memory and the log for clients without a token. Other clients are always served."""

import contextlib
import os
import pathlib
import resource
import socket
import ssl

import pytest
import requests
from requests.adapters import HTTPAdapter

from resource_manager import asks, asks_in_group, begun, created, path, ran
from service import Service, prepared, running, until
from templates import FOREVER, body

# These figures brought down a service without limits.
HALF_REQUESTS = 1001
LARGE_BODIES = 300
BODY_BYTES = 4 << 20
CLIENT_IDS_BYTES = 19_500_000
USUAL_DESCRIPTORS = 1024
MIB = 1 << 20
SOCKET_S = 30
POLL_S = 0.2


@pytest.fixture(scope="module")
def service(folder, flags):
    """A service with the usual soft limit of descriptors; this process has the maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL_DESCRIPTORS, most), most))
    try:
        context = running(folder, flags)
        service = context.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield service
    context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A service with small limits."""
    folder = prepared(tmp_path_factory.mktemp("few"))
    limits = 'body-mib = 1\nstreams-per-principal = 2\nfailed-logins = 3\nmetrics = "token"\n'
    (folder / "data" / "goldsmith.toml").write_text(f"[limits]\n{limits}")
    with running(folder) as service:
        yield service


def connected(service, address="127.0.0.1", tls=True):
    """A socket with that local address."""
    plain = socket.create_connection(("127.0.0.1", service.port), SOCKET_S, (address, 0))
    if not tls:
        return plain
    context = ssl.create_default_context(cafile=service.ca)
    return context.wrap_socket(plain, server_hostname="localhost")


def half_request(service, address, number):
    """An incomplete request; every second connection does not even complete the TLS handshake."""
    tls = number % 2 == 0
    half = connected(service, address, tls)
    half.sendall(b"GET /healthz HTTP/1.1\r\nHost: local" if tls else b"\x16\x03")
    return half


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def proc(service, name):
    return pathlib.Path(f"/proc/{service.process.pid}/{name}")


def peak_bytes(service):
    """The peak resident memory since `forget_peak`."""
    text = proc(service, "status").read_text()
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


def forget_peak(service):
    proc(service, "clear_refs").write_text("5")


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["127.0.0.2"], [f"127.0.0.{number}" for number in range(2, 10)]],
    ids=["the same", "another", "eight others"],
)
def test_incomplete_requests_block_neither_clients_nor_runs(service, addresses):
    arm = asks_in_group(service) if addresses == ["127.0.0.1"] else None
    with contextlib.ExitStack() as open_ones:
        for number in range(HALF_REQUESTS):
            address = addresses[number % len(addresses)]
            with contextlib.suppress(OSError):
                open_ones.enter_context(half_request(service, address, number))
        # A separate login and connection, while the others are open.
        arm = arm or asks(service)
        name = f"template-{addresses[0].replace('.', '-')}-{len(addresses)}"
        created(arm, name, body(service))
        assert ran(arm, name)["status"] == "Succeeded"
        descriptors = len(list(proc(service, "fd").iterdir()))
        assert descriptors < USUAL_DESCRIPTORS + 200, descriptors


def send_large_body(service, address):
    """Sends a body without its last byte to the token endpoint. Returns the connection and the answer."""
    sender = connected(service, address)
    head = f"POST /{service.tenant}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    with contextlib.suppress(OSError):
        sender.sendall(head.encode() + b"a=" + b"x" * (BODY_BYTES - 3))
    try:
        return sender, status(sender.recv(4096))
    except OSError:
        return sender, None


def test_large_bodies_without_a_token_are_not_stored(service):
    forget_peak(service)
    before = peak_bytes(service)
    answers = []
    with contextlib.ExitStack() as open_ones:
        for number in range(LARGE_BODIES):
            sender, answer = send_large_body(service, f"127.0.0.{2 + number % 4}")
            open_ones.enter_context(sender)
            answers.append(answer)
        grown = peak_bytes(service) - before
    # If the server closes a connection while the client sends, the answer may be lost.
    assert set(answers) <= {413, None} and 413 in answers, set(answers)
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB for {LARGE_BODIES} bodies"


def token_form(service, **more):
    form = {
        "grant_type": "client_credentials",
        "client_id": service.credentials["clientId"],
        "client_secret": service.credentials["clientSecret"],
        "scope": f"{service.url}/.default",
    }
    return {**form, **more}


class From(HTTPAdapter):
    """Connects from a local address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *words, **more):
        super().init_poolmanager(*words, source_address=(self.address, 0), **more)


def asker(service, address="127.0.0.1"):
    session = requests.Session()
    session.trust_env = False
    session.verify = service.ca
    session.mount("https://", From(address))
    return session


def test_log_and_answer_shorten_long_input(service):
    before = service.log.stat().st_size
    sender = asker(service, "127.0.0.20")
    url = f"{service.url}/{service.tenant}/oauth2/v2.0/token"
    one = "i" * 15_000
    for _ in range(CLIENT_IDS_BYTES // len(one)):
        answer = sender.post(url, data=token_form(service, client_id=one), timeout=SOCKET_S)
        assert answer.status_code in (401, 429) and len(answer.content) < 2000
    for _ in range(100):
        answer = sender.get(f"{service.url}/{'p' * 60_000}", timeout=SOCKET_S)
        assert answer.status_code == 401
    grown = service.log.stat().st_size - before
    assert grown < CLIENT_IDS_BYTES // 10, f"{grown} bytes of log"


def test_log_has_client_address_and_result_of_a_request(service):
    asker(service, "127.0.0.21").get(f"{service.url}/from-nobody?api-version=2024-01-01", timeout=SOCKET_S)
    asks(service)("GET", "resourcegroups/not-there", "2022-09-01")

    def line(mark):
        return next((line for line in service.log.read_text().splitlines() if mark in line), None)

    nobody = until(lambda: line("/from-nobody"), "the log has the request")
    assert "AuthenticationFailed" in nobody and "127.0.0.21:" in nobody and 'caller="-"' in nobody, nobody
    known = until(lambda: line("/resourcegroups/not-there"), "the log has the request")
    assert f'caller="{service.credentials["clientId"]}"' in known and "127.0.0.1:" in known, known
    assert 'code="ResourceGroupNotFound"' in known and "status=404" in known, known


def test_address_must_wait_after_many_wrong_secrets(few):
    url = f"{few.url}/{few.tenant}/oauth2/v2.0/token"
    wrong, right = token_form(few, client_secret="wrong"), token_form(few)
    one, other = asker(few, "127.0.0.30"), asker(few, "127.0.0.31")
    answers = [one.post(url, data=wrong, timeout=SOCKET_S).status_code for _ in range(3)]
    assert answers == [401] * 3
    refused = one.post(url, data=right, timeout=SOCKET_S)
    assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 61
    assert other.post(url, data=right, timeout=SOCKET_S).status_code == 200


def test_bodies_share_one_budget_per_process(few):
    token = few.token()
    # Three quarters of the budget, without the last byte.
    content = b'{"location": "westus2", "tags": {"a": "' + b"x" * (3 * MIB // 4) + b'"}}'
    head = (
        f"PUT /subscriptions/{few.subscription}/resourcegroups/large?api-version=2022-09-01 HTTP/1.1\r\n"
        f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode()
    with connected(few) as first, connected(few) as second:
        first.sendall(head + content[:-1])
        second.sendall(head + content[:-1])
        first.settimeout(POLL_S), second.settimeout(POLL_S)

        def answered():
            for one in (first, second):
                with contextlib.suppress(TimeoutError):
                    return one.recv(4096)

        busy = until(answered, "one of them is refused")
        assert status(busy) == 503 and b"retry-after:" in busy.lower(), busy
    assert asks(few)("GET", "resourcegroups", "2022-09-01").status_code == 200


def test_streams_per_principal_are_limited(few):
    arm = asks_in_group(few)
    created(arm, "follow", body(few, customize=FOREVER))
    begun(arm, "follow")
    run = until(lambda: arm("GET", f"{path('follow')}/runs").json()["value"])[0]["name"]
    events = f"{path('follow')}/runs/{run}/events"
    with arm("GET", events, stream=True) as one, arm("GET", events, stream=True) as two:
        assert (one.status_code, two.status_code) == (200, 200)
        third = arm("GET", events, stream=True)
        assert third.status_code == 429 and int(third.headers["Retry-After"]) > 0
    until(lambda: arm("GET", events, stream=True).status_code == 200, "a stream that was closed is not counted")


def test_metrics_require_loopback_or_a_token(service, few):
    assert asker(service).get(f"{service.url}/metrics", timeout=SOCKET_S).status_code == 200
    assert asker(few).get(f"{few.url}/metrics", timeout=SOCKET_S).status_code == 401
    shown = few.session().get(f"{few.url}/metrics", timeout=SOCKET_S)
    assert shown.status_code == 200 and "goldsmith_log_lost_total" in shown.text


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        (["localhost"], 200), (["10.0.2.2:8443"], 200), (["evil.example"], 421), (["localhost.evil.example"], 421),
        (["localhost", "localhost"], 400), ([], 400),
    ],
)
def test_requests_for_other_host_names_are_rejected(service, hosts, wanted):
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    with connected(service) as one:
        one.sendall(f"GET /metadata/endpoints HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        answer = b""
        while part := one.recv(65536):
            answer += part
    assert status(answer) == wanted
    assert b"evil.example/" not in answer


def nobody_reads():
    """A pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb"), None


def unread_pipe():
    """A pipe that fills up, and the reader that keeps it open."""
    reader, writer = os.pipe()
    return os.fdopen(writer, "wb"), os.fdopen(reader, "rb")


def full_disk():
    return open("/dev/full", "wb"), None


@pytest.mark.parametrize("stderr", [nobody_reads, unread_pipe, full_disk])
def test_unwritable_log_does_not_block_the_service(tmp_path, stderr):
    service = Service(prepared(tmp_path))
    service.stderr, other_end = stderr()
    try:
        service.start()
        arm = asks_in_group(service)
        # More lines than fit into a pipe.
        for _ in range(400):
            assert arm("GET", "resourcegroups/rg", "2022-09-01").status_code == 200
        created(arm, "unseen", body(service))
        assert ran(arm, "unseen")["status"] == "Succeeded"
        shown = asker(service).get(f"{service.url}/metrics", timeout=SOCKET_S).text
        lost = int(shown.split("\ngoldsmith_log_lost_total ")[1].split()[0])
        assert lost > 400 or stderr is unread_pipe, lost
    finally:
        service.stop()
        service.stderr.close()
        if other_end:
            other_end.close()
    assert service.process.returncode == 0
