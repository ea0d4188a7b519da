"""A certificate of its own, by the program openssl."""

import hashlib
import os
import ssl
import subprocess
import tempfile


def make(folder, name="fake-windows"):
    """Writes certificate.pem and key.pem into `folder`, unless they are there; their paths."""
    certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    if not (os.path.exists(certificate) and os.path.exists(key)):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1",
             "-addext", "extendedKeyUsage=serverAuth", "-keyout", key, "-out", certificate],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


def fingerprint(certificate):
    """The SHA-256 of the certificate's DER, in lower-case hexadecimal."""
    with open(certificate, encoding="ascii") as file:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()


def context(certificate, key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


def temporary():
    return tempfile.mkdtemp(prefix="fake-winrm-")
