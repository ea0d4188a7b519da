"""Who is at the other end of a connection: Basic by request, Negotiate by connection."""

import base64
import binascii
import hmac


class Refused(Exception):
    """HTTP 401 with these challenges."""

    def __init__(self, *challenges):
        super().__init__(challenges)
        self.challenges = challenges


class Accounts:
    """The one account of the machine, and how its user may log in."""

    def __init__(self, user, password, basic_over_http=False, ntlm=False):
        self.user = user
        self.password = password
        self.basic_over_http = basic_over_http
        self.ntlm = ntlm

    def challenges(self, tls):
        offered = ["Negotiate"] if self.ntlm else []
        if tls or self.basic_over_http:
            offered.append('Basic realm="WSMAN"')
        return offered


class Peer:
    """The state of one connection."""

    def __init__(self, accounts, tls):
        self.accounts = accounts
        self.tls = tls
        self.session = None

    def log_in(self, authorization):
        """The user, and the token that the answer must carry. Raises Refused."""
        scheme, _, value = (authorization or "").partition(" ")
        scheme = scheme.lower()
        if scheme == "basic" and (self.tls or self.accounts.basic_over_http):
            if self._is_account(value):
                return self.accounts.user, None
        elif scheme in ("negotiate", "ntlm") and self.accounts.ntlm:
            return self._negotiate(scheme, value)
        elif not scheme and self.session is not None and self.session.complete:
            return self.session.user, None
        self.session = None
        raise Refused(*self.accounts.challenges(self.tls))

    def _is_account(self, value):
        try:
            login = base64.b64decode(value, validate=True)
        except binascii.Error:
            return False
        expected = f"{self.accounts.user}:{self.accounts.password}".encode()
        return hmac.compare_digest(login, expected)

    def _negotiate(self, scheme, value):
        from . import ntlm

        if self.session is None or self.session.complete:
            self.session = ntlm.Session()
        try:
            token = self.session.step(base64.b64decode(value))
        except (*ntlm.Failed, binascii.Error):
            self.session = None
            raise Refused(*self.accounts.challenges(self.tls)) from None
        name = "Negotiate" if scheme == "negotiate" else "NTLM"
        answer = f"{name} {base64.b64encode(token).decode()}" if token else None
        if not self.session.complete:
            raise Refused(answer)
        return self.session.user, answer
