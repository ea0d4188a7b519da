"""The unmodified az command line, with its own configuration."""

import json
import os
import subprocess

AZ = os.environ["AZ"]


class Az:
    """az, for one user whose files are in `folder`."""

    def __init__(self, service, folder):
        self.service = service
        self.env = {
            **os.environ,
            "AZURE_CONFIG_DIR": str(folder / "azure"),
            "REQUESTS_CA_BUNDLE": service.bundle,
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "AZURE_CORE_NO_COLOR": "true",
            "HOME": str(folder),
        }

    def __call__(self, *words, code=0, parse=True):
        done = subprocess.run(
            [AZ, *words], env=self.env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, f"az {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        if code:
            return done.stderr
        return json.loads(done.stdout) if parse and done.stdout.strip() else done.stdout

    def login(self, client, secret):
        """Signs in to the service as a service principal."""
        self("cloud", "register", "--name", "goldsmith", "--endpoint-resource-manager", self.service.url)
        self("cloud", "set", "--name", "goldsmith")
        self("login", "--service-principal", "--username", client, "--password", secret,
             "--tenant", self.service.tenant)
        return self


def administrator(service, folder):
    """az of the first administrator."""
    login = service.credentials
    return Az(service, folder).login(login["clientId"], login["clientSecret"])
