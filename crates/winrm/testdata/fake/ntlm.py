"""NTLM, and WinRM's message encryption, by pyspnego."""

import os
import re
import struct
import tempfile

import spnego
import spnego.exceptions

Failed = (spnego.exceptions.SpnegoError, ValueError, struct.error)
PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
CONTENT_TYPE = f'multipart/encrypted;protocol="{PROTOCOL}";boundary="Encrypted Boundary"'
BOUNDARY = b"--Encrypted Boundary"
OCTETS = b"\tContent-Type: application/octet-stream\r\n"


def set_account(domain, user, password):
    """pyspnego reads accounts from a file that the environment names."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="fake-winrm-", suffix=".ntlm", delete=False) as file:
        file.write(f"{domain}:{user}:{password}\n")
    os.environ["NTLM_USER_FILE"] = file.name
    return file.name


class Session:
    """One security context: it belongs to a connection."""

    def __init__(self):
        self.context = spnego.server(protocol="negotiate", options=spnego.NegotiateOptions.use_negotiate | spnego.NegotiateOptions.wrapping_winrm)

    @property
    def complete(self):
        return self.context.complete

    @property
    def user(self):
        return self.context.client_principal or ""

    def step(self, token):
        return self.context.step(token)

    def decrypt(self, body):
        """The envelope in an encrypted body, which must be exactly as [MS-WSMV] 2.2.9.1 has it."""
        head = re.compile(
            BOUNDARY + rb"\r\n\tContent-Type: " + PROTOCOL.encode()
            + rb"\r\n\tOriginalContent: type=application/soap\+xml;charset=UTF-8;Length=(\d+)\r\n"
            + BOUNDARY + rb"\r\n" + re.escape(OCTETS)
        ).match(body)
        tail = BOUNDARY + b"--\r\n"
        if not head or not body.endswith(tail):
            raise ValueError("the body is not an encrypted message")
        payload = body[head.end():-len(tail)]
        (length,) = struct.unpack_from("<I", payload)
        message = self.context.unwrap_winrm(payload[4:4 + length], payload[4 + length:])
        if len(message) != int(head[1]):
            raise ValueError(f"the message has {len(message)} bytes, not {int(head[1])}")
        return message

    def encrypt(self, envelope, space=False, tamper=False):
        header, data, padding = self.context.wrap_winrm(envelope)
        if tamper:
            # A bit of the signature: the envelope itself stays readable.
            header = header[:5] + bytes([header[5] ^ 1]) + header[6:]
        boundary = b"-- Encrypted Boundary" if space else BOUNDARY
        return b"".join([
            boundary, b"\r\n\tContent-Type: ", PROTOCOL.encode(),
            b"\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % (len(envelope) + padding),
            boundary, b"\r\n", OCTETS, struct.pack("<I", len(header)), header, data, boundary, b"--\r\n",
        ])
