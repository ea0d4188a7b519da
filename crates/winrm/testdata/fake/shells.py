"""Shells and their commands, without a word of HTTP or SOAP."""

import sys
import threading
import time
import traceback
import uuid

from .pipe import Input, Output, Pipe, Terminated

# What Windows answers to a command that its client has ended.
TERMINATED = 0xC000013A


def identifier():
    return str(uuid.uuid4()).upper()


class Command:
    """One command line at work in a thread of its own."""

    def __init__(self, line, interpreter):
        self.id = identifier()
        self.line = line
        self.changed = threading.Condition()
        self.stdin, self.stdout, self.stderr = (Pipe(self.changed) for _ in range(3))
        self.exit_code = None
        self.reported = False
        self.terminated = False
        self._acts = []
        self._interpreter = interpreter

    def start(self):
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        streams = Input(self.stdin, self), Output(self.stdout), Output(self.stderr)
        try:
            code = self._interpreter(self.line, *streams)
        except Terminated:
            code = TERMINATED
        except Exception:
            traceback.print_exc(file=sys.stderr)
            code = 0xC0000409
        with self.changed:
            self.exit_code = int(code or 0) & 0xFFFFFFFF
            self.stdin.broken = True
            self.stdin.chunks.clear()
            self.stdout.ended = self.stderr.ended = True
            self.changed.notify_all()

    def on_terminate(self, act):
        with self.changed:
            if not self.terminated:
                self._acts.append(act)
                return
        act()

    def terminate(self):
        with self.changed:
            if self.terminated or self.exit_code is not None:
                return
            self.terminated = True
            for pipe in (self.stdin, self.stdout, self.stderr):
                pipe.broken = True
            acts, self._acts = self._acts, []
            self.changed.notify_all()
        for act in acts:
            act()

    def receive(self, seconds, budget, shape):
        """What a Receive is answered: [(stream, bytes)], and whether the command is done. None after `seconds` without either."""
        streams = [("stdout", self.stdout), ("stderr", self.stderr)]
        with self.changed:
            def ready():
                return self.stdout.chunks or self.stderr.chunks or self.exit_code is not None
            if not self.changed.wait_for(ready, seconds):
                return None
            pieces = []
            for name, pipe in streams:
                while budget > 0 and (data := pipe.take(min(budget, shape.piece or budget))):
                    pieces.append((name, data))
                    # Each element costs a hundred bytes of envelope.
                    budget -= len(data) + 100
            empty = not self.stdout.chunks and not self.stderr.chunks
            done = self.exit_code is not None and empty and not (shape.done_apart and pieces)
            return pieces, done


class Shell:
    def __init__(self, owner):
        self.id = identifier()
        self.owner = owner
        self.commands = {}
        self.begun = time.monotonic()

    def end(self):
        for command in list(self.commands.values()):
            command.terminate()


class Shells:
    """All shells of one machine."""

    def __init__(self, interpreter, limit):
        self.interpreter = interpreter
        self.limit = limit
        self.lock = threading.Lock()
        self.shells = {}
        self.created = 0

    def create(self, owner):
        with self.lock:
            if len(self.shells) >= self.limit:
                return None
            shell = Shell(owner)
            self.shells[shell.id] = shell
            self.created += 1
            return shell

    def get(self, shell_id):
        with self.lock:
            return self.shells.get(shell_id)

    def run(self, shell, line):
        command = Command(line, self.interpreter)
        with self.lock:
            shell.commands[command.id] = command
        command.start()
        return command

    def forget(self, shell, command):
        command.terminate()
        with self.lock:
            shell.commands.pop(command.id, None)

    def delete(self, shell_id):
        with self.lock:
            shell = self.shells.pop(shell_id, None)
        if shell:
            shell.end()
        return shell is not None

    def reboot(self):
        with self.lock:
            shells, self.shells = self.shells, {}
        for shell in shells.values():
            shell.end()

    def status(self):
        with self.lock:
            commands = [c for shell in self.shells.values() for c in shell.commands.values()]
            return {
                "shells": len(self.shells),
                "commands": len(commands),
                "running": sum(c.exit_code is None for c in commands),
                "created": self.created,
            }
