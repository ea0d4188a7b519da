"""Trust of clients: the service's CA and its limits, external certificates, and key rotation."""

import shutil
import subprocess

import pytest
import requests

from resource_manager import asks
from service import GOLDSMITH, Service, prepared, until

SOCKET_S = 30


@pytest.fixture
def own(tmp_path):
    """A service that tests may restart."""
    service = Service(prepared(tmp_path))
    try:
        yield service.start()
    finally:
        service.stop()


def goldsmith(service, *words):
    command = [GOLDSMITH, *words, "--data-dir", str(service.data), "--cache-dir", str(service.cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOCKET_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def signed_by(folder, data, name):
    """A certificate for that name from the service's CA, created with the CA's key."""
    key, request, certificate = (folder / f"stolen.{end}" for end in ("key", "csr", "pem"))
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=x"]
    names = folder / "names.cnf"
    names.write_text(f"subjectAltName=DNS:{name}\n")
    ca = ["-CA", data / "ca.pem", "-CAkey", data / "ca-key.pem", "-CAcreateserial", "-CAserial", folder / "serial"]
    sign = ["openssl", "x509", "-req", "-in", request, "-out", certificate, "-days", "30", "-extfile", names, *ca]
    for command in (new, sign):
        subprocess.run(command, check=True, capture_output=True)
    return certificate


@pytest.mark.parametrize(("name", "is_taken"), [("localhost", True), ("login.microsoftonline.com", False)])
def test_stolen_ca_key_cannot_impersonate_other_names(own, tmp_path, name, is_taken):
    # Each test here shows that Python's TLS accepts it; so does openssl, which also explains a rejection.
    server = own.data / "server"
    certificate = signed_by(tmp_path, server, name)
    found = subprocess.run(
        ["openssl", "verify", "-CAfile", server / "ca.pem", certificate], capture_output=True, text=True
    )
    assert (found.returncode == 0) == is_taken, found.stdout + found.stderr
    assert is_taken or "permitted subtree violation" in found.stderr, found.stderr


def is_good(service, token):
    url = f"{service.url}/subscriptions?api-version=2022-12-01"
    answer = requests.get(url, verify=service.ca, headers={"Authorization": f"Bearer {token}"}, timeout=SOCKET_S)
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def keys(service):
    answer = requests.get(f"{service.url}/common/discovery/keys", verify=service.ca, timeout=SOCKET_S)
    return [key["kid"] for key in answer.json()["keys"]]


def test_new_signing_key_revokes_tokens_only_on_request(own):
    before, token = keys(own), own.token()
    assert len(before) == 1 and is_good(own, token)
    goldsmith(own, "admin", "key", "rotate")
    until(lambda: len(keys(own)) == 2, "the service has taken up the new key")
    later = own.token()
    assert is_good(own, token) and is_good(own, later)
    goldsmith(own, "admin", "key", "rotate", "--revoke")
    until(lambda: len(keys(own)) == 1, "the service has taken up the one key")
    assert not is_good(own, token) and not is_good(own, later)
    assert is_good(own, own.token())


def test_ca_is_renewed_during_the_service(own):
    old = own.folder / "old.pem"
    shutil.copy(own.ca, old)
    goldsmith(own, "admin", "ca", "renew")
    url = f"{own.url}/healthz"

    def changed():
        try:
            requests.get(url, verify=str(old), timeout=SOCKET_S)
        except requests.exceptions.SSLError:
            return True

    until(changed, "the service shows a certificate by the new CA")
    assert requests.get(url, verify=own.ca, timeout=SOCKET_S).status_code == 200


class OwnCertificate(Service):
    """A service whose clients trust the certificate itself."""

    @property
    def ca(self):
        return str(self.folder / "own.pem")


def test_external_certificate_is_served(tmp_path):
    key, certificate = tmp_path / "own.key", tmp_path / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90",
         "-keyout", key, "-out", certificate, "-subj", "/CN=own", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )
    flags = ["--host", "localhost", "--tls-cert", str(certificate), "--tls-key", str(key)]
    service = OwnCertificate(prepared(tmp_path), flags=flags)
    try:
        service.start()
        assert asks(service)("GET", "resourcegroups", "2022-09-01").status_code == 200
        assert not (service.data / "server" / "ca-key.pem").exists()
    finally:
        service.stop()
