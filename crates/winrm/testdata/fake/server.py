"""Listeners and their connections."""

import socket
import ssl
import sys
import threading
import time

from .connection import Connection

# More connections than these are closed at once.
CONNECTIONS = 256


class Server:
    """The service on one or two listeners, one thread for each connection."""

    def __init__(self, service, accounts, host="localhost"):
        self.service = service
        self.accounts = accounts
        self.host = host
        self.lock = threading.Lock()
        self.connections = set()
        self.down_until = 0.0

    def listen(self, address, context=None):
        """Listens, with TLS if there is a context for it; the port."""
        listener = socket.create_server(address, backlog=64)
        threading.Thread(target=self._accept, args=(listener, context), daemon=True).start()
        return listener.getsockname()[1]

    def reboot(self, seconds):
        """Everything of this session of Windows is gone; nothing answers for `seconds`."""
        with self.lock:
            self.down_until = time.monotonic() + seconds
            connections = list(self.connections)
        for connection in connections:
            # Its own thread closes it; that its socket is shut down wakes that thread.
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.service.shells.reboot()

    def note(self, text):
        print(f"fake winrm: {text}", file=sys.stderr, flush=True)

    def _accept(self, listener, context):
        while True:
            stream, client = listener.accept()
            with self.lock:
                refused = time.monotonic() < self.down_until or len(self.connections) >= CONNECTIONS
            rule = self.service.faults.take("connect")
            if refused or (rule and rule["do"] == "cut"):
                stream.close()
                continue
            threading.Thread(target=self._serve, args=(stream, client, context, rule), daemon=True).start()

    def _serve(self, stream, client, context, rule):
        try:
            stream.settimeout(30)
            if rule and rule["do"] == "silence":
                self.note("silence")
                time.sleep(rule.get("seconds", 600))
                return stream.close()
            if context:
                stream = context.wrap_socket(stream, server_side=True)
            connection = Connection(stream, client[0], context is not None, self)
        except (OSError, ssl.SSLError):
            return stream.close()
        with self.lock:
            self.connections.add(connection)
        try:
            connection.serve()
        finally:
            with self.lock:
                self.connections.discard(connection)
