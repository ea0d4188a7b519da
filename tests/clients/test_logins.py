"""How service principals log in: secrets, certificates and tokens of other issuers, with the unmodified az and MSAL."""

import datetime
import http.server
import json
import subprocess
import threading
import time
import uuid

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from azure_cli import Az
from service import ANSWERED_WITHIN_S, GOLDSMITH, until

AUDIENCE = "api://AzureADTokenExchange"


def admin(service, *words, code=0):
    """`goldsmith admin` beside the running service."""
    done = subprocess.run(
        [GOLDSMITH, "admin", *words, "--data-dir", str(service.data), "--output", "json"],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == code or code is None, f"{words}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


def registered(service, name):
    """A Reader of the subscription."""
    made = admin(service, "sp", "create", name, "--role", "Reader",
                 "--scope", f"/subscriptions/{service.subscription}")
    return made["clientId"], made["clientSecret"]


def az_at(service, folder, name):
    home = folder / name
    home.mkdir()
    az = Az(service, home)
    az("cloud", "register", "--name", "goldsmith", "--endpoint-resource-manager", service.url)
    az("cloud", "set", "--name", "goldsmith")
    return az


def answer(service, client, **proof):
    """What the token endpoint answers."""
    return requests.post(
        f"{service.url}/{service.tenant}/oauth2/v2.0/token", verify=service.ca, timeout=ANSWERED_WITHIN_S,
        data={"grant_type": "client_credentials", "client_id": client,
              "scope": f"{service.url}/.default", **proof},
    )


def code(response):
    return None if response.ok else response.json()["error_codes"][0]


def pem_of(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def certificate_of(key, days=30):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ci")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(days=60))
    built = built.not_valid_after(now + datetime.timedelta(days=days))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_secrets_overlap_expire_and_are_removed(service, folder):
    client, first = registered(service, "secrets")
    az = az_at(service, folder, "secrets")
    az("login", "--service-principal", "-u", client, "-p", first, "--tenant", service.tenant)
    assert az("group", "list") is not None
    second = admin(service, "sp", "secret", "add", client, "--expires", "1h")
    assert answer(service, client, client_secret=second["clientSecret"]).ok
    third = admin(service, "sp", "rotate", client, "--overlap", "1h")["clientSecret"]
    for secret in (first, second["clientSecret"], third):
        assert answer(service, client, client_secret=secret).ok
    admin(service, "sp", "secret", "remove", client, second["id"])
    assert code(answer(service, client, client_secret=second["clientSecret"])) == 7000215

    short = admin(service, "sp", "secret", "add", client, "--expires", "2s")["clientSecret"]
    until(lambda: code(answer(service, client, client_secret=short)) == 7000222, "the secret has expired")
    # az of another user, which has no token of the client in its cache.
    late = az_at(service, folder, "late")
    error = late("login", "--service-principal", "-u", client, "-p", short, "--tenant", service.tenant, code=1)
    assert "AADSTS7000222" in error
    listed = admin(service, "sp", "secret", "list", client)["credentials"]
    assert len(listed) == 3 and "hash" not in json.dumps(listed)


def test_certificate_logs_in(service, folder):
    client, _ = registered(service, "certificate")
    key = new_key()
    public, file = folder / "ci.pem", folder / "login.pem"
    public.write_text(certificate_of(key))
    added = admin(service, "sp", "certificate", "add", client, str(public))
    file.write_text(pem_of(key) + public.read_text())
    az = az_at(service, folder, "certificate")
    login = ("login", "--service-principal", "-u", client, "--certificate", str(file), "--tenant", service.tenant)
    az(*login)
    assert isinstance(az("group", "list"), list)

    # MSAL signs by PS256 where the login endpoint is not of AD FS.
    session = requests.Session()
    # Otherwise a bundle from the environment would take precedence over `verify`.
    session.verify, session.trust_env = service.ca, False
    app = msal.ConfidentialClientApplication(
        client, authority=f"{service.url}/{service.tenant}", http_client=session, instance_discovery=False,
        client_credential={"private_key": pem_of(key), "public_certificate": public.read_text()},
    )
    token = app.acquire_token_for_client([f"{service.url}/.default"])
    assert "access_token" in token, token

    other = folder / "other.pem"
    stranger = new_key()
    other.write_text(pem_of(stranger) + certificate_of(stranger))
    error = az_at(service, folder, "stranger")(*login[:5], str(other), *login[6:], code=1)
    assert "AADSTS700027" in error

    admin(service, "sp", "secret", "remove", client, added["id"])
    session.headers["Authorization"] = f"Bearer {token['access_token']}"
    url = f"{service.url}/subscriptions/{service.subscription}/resourcegroups?api-version=2024-11-01"
    until(lambda: session.get(url).status_code == 401, "tokens of the removed certificate are not valid")
    assert "AADSTS700027" in az(*login, code=1)

    over = folder / "over.pem"
    over.write_text(certificate_of(new_key(), days=-1))
    assert "expire" in str(admin(service, "sp", "certificate", "add", client, str(over), code=None))


class Issuer:
    """An issuer of tokens with its discovery document and its keys."""

    def __init__(self):
        self.key = new_key()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                body = json.dumps(issuer.keys() if self.path == "/keys" else found).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keys(self):
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": "1", "use": "sig", "alg": "RS256"}]}

    def token(self, subject, issuer=None, audience=AUDIENCE, **more):
        now = int(time.time())
        claims = {"iss": issuer or self.url, "sub": subject, "aud": audience, "iat": now, "nbf": now,
                  "exp": now + 300, "jti": str(uuid.uuid4()), **more}
        return jwt.encode(claims, pem_of(self.key), algorithm="RS256", headers={"kid": "1"})


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()


def test_token_of_a_workflow_logs_in(service, folder, issuer):
    client, _ = registered(service, "workflow")
    subject = "repo:me/images:ref:refs/heads/main"
    refused = admin(service, "sp", "federated", "add", client, "--issuer", issuer.url, "--subject", subject,
                    code=None)
    assert "is not trusted" in str(refused)
    admin(service, "issuer", "add", issuer.url)
    admin(service, "sp", "federated", "add", client, "--issuer", issuer.url, "--subject", subject)
    az = az_at(service, folder, "workflow")
    token = issuer.token(subject, repository="me/images", job_workflow_ref="me/images/.github/workflows/b.yml@main")
    az("login", "--service-principal", "-u", client, "--federated-token", token, "--tenant", service.tenant)
    assert isinstance(az("group", "list"), list)
    branch = issuer.token("repo:me/images:ref:refs/heads/other")
    error = az_at(service, folder, "branch")(
        "login", "--service-principal", "-u", client, "--federated-token", branch, "--tenant", service.tenant,
        code=1,
    )
    assert "AADSTS700213" in error


def test_token_of_a_pod_logs_in_with_keys_of_a_file(service, folder, issuer):
    client, _ = registered(service, "pod")
    name, subject = "https://kubernetes.default.svc.cluster.local", "system:serviceaccount:images:builder"
    keys = folder / "jwks.json"
    keys.write_text(json.dumps(issuer.keys()))
    admin(service, "issuer", "add", name, "--keys", str(keys))
    admin(service, "sp", "federated", "add", client, "--issuer", name, "--subject", subject)
    pod = {"kubernetes.io": {"namespace": "images", "serviceaccount": {"name": "builder"}}}
    token = issuer.token(subject, issuer=name, audience=[AUDIENCE], **pod)
    az = az_at(service, folder, "pod")
    az("login", "--service-principal", "-u", client, "--federated-token", token, "--tenant", service.tenant)
    assert isinstance(az("group", "list"), list)
    admin(service, "issuer", "remove", name)
    proof = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
             "client_assertion": token}
    assert code(answer(service, client, **proof)) == 700027


def test_wrong_secrets_do_not_lock_out_the_right_one(service):
    """From other addresses: this one has to wait a minute after too many failures."""
    client, secret = registered(service, "attacked")
    port = service.port
    seen = set()
    for number in range(60):
        # Each failure from an address of its own.
        session = requests.Session()
        session.mount("https://", From(f"127.0.{1 + number // 50}.{2 + number % 50}"))
        response = session.post(
            f"https://127.0.0.1:{port}/{service.tenant}/oauth2/v2.0/token", verify=service.ca,
            timeout=ANSWERED_WITHIN_S,
            data={"grant_type": "client_credentials", "client_id": client, "client_secret": f"gs_{number}",
                  "scope": f"{service.url}/.default"},
        )
        seen.add(response.status_code)
    assert seen <= {401, 429} and 401 in seen
    session = requests.Session()
    session.mount("https://", From("127.9.9.9"))
    response = session.post(
        f"https://127.0.0.1:{port}/{service.tenant}/oauth2/v2.0/token", verify=service.ca,
        timeout=ANSWERED_WITHIN_S,
        data={"grant_type": "client_credentials", "client_id": client, "client_secret": secret,
              "scope": f"{service.url}/.default"},
    )
    assert response.ok, response.text


class From(requests.adapters.HTTPAdapter):
    """Requests from this address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *words, **more):
        super().init_poolmanager(*words, source_address=(self.address, 0), **more)
