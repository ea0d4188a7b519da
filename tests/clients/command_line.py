"""The executable `goldsmith`: on a service's folders, or logged in to the service."""

import json
import os
import subprocess

from service import GOLDSMITH

ENDED_WITHIN_S = 120


def beside(service, *words):
    """A command on the service's folders."""
    return [
        GOLDSMITH, "--output", "json", "--data-dir", str(service.data), "--cache-dir", str(service.cache), *words,
    ]


def call_beside(service, *words):
    """Runs a command on the service's folders. Returns the exit code and the last line of output."""
    done = subprocess.run(beside(service, *words), capture_output=True, text=True, timeout=ENDED_WITHIN_S)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr


def environment(home):
    """The environment of a user with the home folder `home`."""
    env = {**os.environ, "HOME": str(home)}
    return env | {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE")}


def signed_in(service, home, secret_by_environment=False, credentials=None):
    """A function that calls `goldsmith` for a user of the service, whose files are in the folder `home`: the
    administrator, or who has the `credentials`."""
    env = environment(home)

    def goldsmith(*words):
        done = subprocess.run(
            [GOLDSMITH, *words], env=env, capture_output=True, text=True, timeout=ENDED_WITHIN_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    login = credentials or service.credentials
    words = ["login", "--server", service.url, "--ca", service.ca, "--tenant", login["tenantId"],
             "--client-id", login["clientId"]]
    if secret_by_environment:
        env["GOLDSMITH_CLIENT_SECRET"] = login["clientSecret"]
    else:
        words += ["--client-secret", login["clientSecret"]]
    goldsmith(*words)
    return goldsmith
