"""HTTP/1.1 of one connection: requests in, answers out, and every way to spoil them."""

import email.utils
import random
import socket
import time

from . import soap
from .auth import Peer, Refused

SOAP_TYPE = "application/soap+xml;charset=UTF-8"
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
           411: "Length Required", 413: "Request Entity Too Large", 500: "Internal Server Error", 503: "Service Unavailable"}
# A connection that asks for nothing is closed after this many seconds.
IDLE = 120
# What a client may send beyond an envelope: the parts of an encrypted message.
MARGIN = 4096


class Closed(Exception):
    """This connection is over."""


class Answered(Exception):
    """A fault has answered in place of the operation."""


class Connection:
    def __init__(self, stream, client, tls, server):
        self.socket = stream
        self.client = client
        self.tls = tls
        self.server = server
        self.service = server.service
        self.peer = Peer(server.accounts, tls)
        stream.settimeout(IDLE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = stream.makefile("rb", 1 << 17)

    def serve(self):
        try:
            while True:
                self._one()
        except (Closed, OSError, ValueError):
            pass
        finally:
            self.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.file.close()
        self.socket.close()

    def _one(self):
        method, target, headers = self._head()
        length = headers.get("content-length", "")
        if method != "POST":
            return self._answer(405, b"")
        if not target.startswith("/wsman"):
            return self._answer(404, b"")
        if not length.isdigit():
            self._answer(411, b"")
            raise Closed
        if int(length) > self.service.max_envelope + MARGIN:
            self._answer(413, b"")
            raise Closed
        body = self.file.read(int(length))
        if len(body) != int(length):
            raise Closed
        if "wsmanidentify" in headers and "authorization" not in headers:
            return self._operation(body, "", False)
        try:
            user, token = self.peer.log_in(headers.get("authorization"))
        except Refused as refused:
            return self._refuse(refused.challenges)
        encrypted = headers.get("content-type", "").startswith("multipart/encrypted")
        if not body and token is not None or not body and self.peer.session:
            return self._answer(200, b"", token=token)
        self._operation(body, user, encrypted, token)

    def _head(self):
        line = self.file.readline(65536)
        if not line:
            raise Closed
        words = line.decode("ascii").split()
        if len(words) != 3 or words[2] != "HTTP/1.1":
            raise Closed
        headers = {}
        for _ in range(100):
            line = self.file.readline(65536)
            if line in (b"\r\n", b"\n", b""):
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if "host" not in headers:
            raise Closed
        return words[0], words[1], headers

    def _operation(self, body, user, encrypted, token=None):
        try:
            if encrypted:
                body = self.peer.session.decrypt(body)
            elif self.peer.session is not None and not self.tls:
                raise soap.Bad("an unencrypted request, and AllowUnencrypted is false")
            request = soap.Request(body)
            if not user and request.operation != "Identify":
                return self._refuse(self.server.accounts.challenges(self.tls))
            rule = self.service.faults.take(request.operation)
            self._before(rule)
            address = f"{'https' if self.tls else 'http'}://{self.server.host}/wsman"
            envelope, status = self.service.answer(request, user, address, self.client, rule)
        except Answered:
            return
        except (Closed, OSError):
            raise
        except Exception as error:
            self.server.note(f"bad request: {error}")
            return self._answer(400, f"{error}\n".encode(), kind="text/plain")
        self._spoiled(rule, envelope, status, encrypted, token)

    def _refuse(self, challenges):
        self._answer(401, b"", challenges=challenges)

    def _before(self, rule):
        do = rule["do"] if rule else ""
        if do == "cut":
            raise Closed
        if do == "silence":
            self._silence(rule)
        if do == "status":
            if rule["status"] == 401:
                self.peer.session = None
                self._refuse(self.server.accounts.challenges(self.tls))
            else:
                self._answer(rule["status"], b"")
            raise Answered
        if do == "forget":
            self.service.shells.reboot()
        if do == "reboot":
            self.server.reboot(rule.get("seconds", 0))
            raise Closed

    def _silence(self, rule):
        """Reads and says nothing until the time is over or the client goes."""
        self.server.note("silence")
        self.socket.settimeout(rule.get("seconds", 600))
        try:
            while self.file.read1(65536):
                pass
        except OSError:
            pass
        raise Closed

    def _spoiled(self, rule, envelope, status, encrypted, token):
        do = rule["do"] if rule else ""
        if do == "lose":
            raise Closed
        if do == "garbage":
            envelope = rule.get("text", "<not xml").encode()
        kind = SOAP_TYPE
        if encrypted and do != "plain":
            from . import ntlm
            kind = ntlm.CONTENT_TYPE
            envelope = self.peer.session.encrypt(envelope, self.service.faults.shape.space, do == "tamper")
        if do == "chunked":
            return self._chunked(envelope, status, kind, token)
        if do == "endless":
            return self._endless(status, kind)
        head = self._head_of(status, len(envelope), kind, token)
        if do == "half":
            self.socket.sendall(head + envelope[: len(envelope) // 2])
            raise Closed
        if do == "drip":
            return self._drip(head, envelope, rule)
        self.socket.sendall(head + envelope)
        if do == "close":
            raise Closed

    def _chunked(self, envelope, status, kind, token):
        self.socket.sendall(self._head_of(status, None, kind, token, ["Transfer-Encoding: chunked"]))
        while envelope:
            size = random.randint(1, 4000)
            piece, envelope = envelope[:size], envelope[size:]
            self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.socket.sendall(b"0\r\n\r\n")

    def _endless(self, status, kind):
        self.socket.sendall(self._head_of(status, None, kind, None, ["Transfer-Encoding: chunked"]))
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        while True:
            self.socket.sendall(piece)

    def _drip(self, head, envelope, rule):
        self.server.note("drip")
        self.socket.sendall(head)
        size = rule.get("bytes", 1)
        for start in range(0, len(envelope), size):
            self.socket.sendall(envelope[start:start + size])
            time.sleep(rule.get("seconds", 0.05))

    def _answer(self, status, body, challenges=(), token=None, kind=None):
        extra = [f"WWW-Authenticate: {challenge}" for challenge in challenges]
        self.socket.sendall(self._head_of(status, len(body), kind, token, extra) + body)

    def _head_of(self, status, length, kind, token, extra=()):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}", "Server: Microsoft-HTTPAPI/2.0",
                 f"Date: {email.utils.formatdate(usegmt=True)}", *extra]
        if kind:
            lines.append(f"Content-Type: {kind}")
        if token:
            lines.append(f"WWW-Authenticate: {token}")
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
