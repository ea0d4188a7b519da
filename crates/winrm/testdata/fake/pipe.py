"""Bounded byte pipes between the service and a command."""

import threading
from collections import deque

# What a pipe holds before its writer waits.
LIMIT = 1 << 20


class Terminated(Exception):
    """The command was ended by its client: raised in the interpreter by its next read or write."""


class Busy(Exception):
    """The piece before still waits for its reader."""


class Pipe:
    """Bytes in order, from one thread to another. `changed` is shared by the pipes of one command."""

    def __init__(self, changed):
        self.changed = changed
        self.chunks = deque()
        self.size = 0
        self.ended = False
        self.broken = False
        self.late = False

    def offer(self, data, seconds):
        """Appends `data` once there is space; also after `seconds` without, but then the answer is False and the next
        piece is refused with Busy for as long as there is no space."""
        with self.changed:
            if self.late and self.size >= LIMIT and not self.broken:
                raise Busy
            self.late = not self.changed.wait_for(lambda: self.size < LIMIT or self.broken, seconds)
            self._append(data)
            return not self.late

    def write(self, data):
        """Appends `data` once there is space."""
        with self.changed:
            self.changed.wait_for(lambda: self.size < LIMIT or self.broken)
            self._append(data)

    def _append(self, data):
        if self.broken:
            raise BrokenPipeError
        if data:
            self.chunks.append(data)
            self.size += len(data)
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def take(self, limit):
        """At most `limit` bytes, one written piece at most; empty if there are none now. Call with `changed` held."""
        if not self.chunks:
            return b""
        data = self.chunks.popleft()
        if len(data) > limit:
            self.chunks.appendleft(data[limit:])
            data = data[:limit]
        self.size -= len(data)
        self.changed.notify_all()
        return data


class Input:
    """The standard input of a command."""

    def __init__(self, pipe, process):
        self._pipe = pipe
        self._process = process
        self._rest = bytearray()

    def read(self, limit=65536):
        """At most `limit` bytes, as soon as there are any; empty at the end."""
        if self._rest:
            data = bytes(self._rest[:limit])
            del self._rest[:limit]
            return data
        with self._pipe.changed:
            self._pipe.changed.wait_for(lambda: self._pipe.chunks or self._pipe.ended or self._process.terminated)
            if self._process.terminated:
                raise Terminated
            return self._pipe.take(limit)

    def readline(self, limit=4 << 20):
        """A line with its end, the last one maybe without; at most `limit` bytes of it."""
        searched = 0
        while True:
            end = self._rest.find(b"\n", searched, limit)
            if end >= 0 or len(self._rest) >= limit:
                return self._cut(end + 1 if end >= 0 else limit)
            searched = len(self._rest)
            data = self._more()
            if not data:
                return self._cut(searched)
            self._rest += data

    def __iter__(self):
        return iter(self.readline, b"")

    def on_terminate(self, act):
        """Calls `act` when the client ends the command, e.g. to kill a program; at once if it has."""
        self._process.on_terminate(act)

    def _more(self):
        rest, self._rest = self._rest, bytearray()
        try:
            return self.read()
        finally:
            self._rest = rest

    def _cut(self, length):
        line = bytes(self._rest[:length])
        del self._rest[:length]
        return line


class Output:
    """Standard output or standard error of a command."""

    def __init__(self, pipe):
        self._pipe = pipe

    def write(self, data):
        """Waits while the client does not read."""
        data = bytes(data)
        try:
            for start in range(0, len(data), LIMIT):
                self._pipe.write(data[start:start + LIMIT])
        except BrokenPipeError:
            raise Terminated from None
        return len(data)

    def flush(self):
        pass
