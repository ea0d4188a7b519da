"""Starts a `goldsmith serve`, connects to it, and ends it."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

import requests

import templates

GOLDSMITH = os.environ["GOLDSMITH"]
# Deadlines of failures only; generous, because the machine may be busy.
ANSWERED_WITHIN_S = 30
WITHIN_S = 120
# The pause between two polls.
PAUSE_S = 0.02


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Session(requests.Session):
    """A session whose calls have a deadline."""

    def request(self, *words, timeout=ANSWERED_WITHIN_S, **more):
        return super().request(*words, timeout=timeout, **more)


class Service:
    """The server with its own data folder. `backend` is `scripted` (no machines) or `qemu`; `flags` are
    passed to `serve`."""

    def __init__(self, folder, backend="scripted", cache=None, flags=()):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.data = self.folder / "data"
        self.cache = pathlib.Path(cache) if cache else self.folder / "cache"
        self.backend = backend
        self.flags = list(flags)
        self.process = None
        self.log = self.folder / "serve.log"
        # The destination of standard error, if it is not the log file.
        self.stderr = None
        self.credentials = None

    def command(self):
        return [
            GOLDSMITH, "serve", "--listen", f"127.0.0.1:{self.port}", "--backend", self.backend,
            "--data-dir", str(self.data), "--cache-dir", str(self.cache), "--output", "json",
            # The tests serve their files on loopback.
            "--allow-fetch-from", "127.0.0.1",
            *self.flags,
        ]

    def start(self):
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=self.stderr or self.log.open("a"), text=True
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"serve ended: {self.log.read_text()[-2000:]}")
        ready = json.loads(line)
        if self.credentials is None:
            self.credentials = ready
        self.wait_ready()
        return self

    def wait_ready(self):
        def is_ready():
            try:
                return requests.get(f"{self.url}/readyz", verify=self.ca, timeout=ANSWERED_WITHIN_S).ok
            except requests.RequestException:
                return False

        until(is_ready, "the service is ready")

    @property
    def ca(self):
        return str(self.data / "server" / "ca.pem")

    @property
    def bundle(self):
        return str(self.data / "server" / "ca-bundle.pem")

    @property
    def subscription(self):
        return self.credentials["subscriptionId"]

    @property
    def tenant(self):
        return self.credentials["tenantId"]

    def token(self, scope=None):
        answer = requests.post(
            f"{self.url}/{self.tenant}/oauth2/v2.0/token",
            verify=self.ca,
            data={
                "grant_type": "client_credentials",
                "client_id": self.credentials["clientId"],
                "client_secret": self.credentials["clientSecret"],
                "scope": scope or f"{self.url}/.default",
            },
            timeout=ANSWERED_WITHIN_S,
        )
        answer.raise_for_status()
        return answer.json()["access_token"]

    def session(self):
        session = Session()
        # Otherwise a bundle from the environment would take precedence over `verify`.
        session.trust_env = False
        session.verify = self.ca
        session.headers["Authorization"] = f"Bearer {self.token()}"
        return session

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=WITHIN_S)
            finally:
                self.kill()


@contextlib.contextmanager
def running(folder, flags=(), stderr=None):
    """A service on a folder from `prepared`, which ends with the block."""
    service = Service(folder, flags=flags)
    service.stderr = stderr
    try:
        yield service.start()
    finally:
        service.stop()


def prepared(folder):
    """Adds the catalogue of the test templates to the folder, and returns the folder."""
    templates.catalogue(folder / "data", folder)
    return folder


def until(is_so, what="the condition is true", within_s=WITHIN_S):
    """Polls until the answer is true, and returns the answer."""
    deadline = time.monotonic() + within_s
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not in {within_s} s: {what}"
        time.sleep(PAUSE_S)
    return answer
