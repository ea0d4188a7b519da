"""What each operation of the shell protocol does: an envelope in, an envelope out."""

import base64
import binascii
import json

from . import soap
from .faults import Faults
from .pipe import Busy
from .shells import Shells

# Windows' own limit on the command line of cmd.exe, in characters.
LINE_LIMIT = 8191
TIMED_OUT, NO_SUCH, TOO_LARGE, TOO_MANY, BROKEN_PIPE, BUSY = 2150858793, 2150858843, 2150858824, 2150859174, 232, 170
# What an answer holds beside output.
OVERHEAD = 4096


class Fault(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Service:
    def __init__(self, interpreter, faults="{}", max_envelope=512000, max_shells=30, max_timeout=60):
        self.faults = Faults(faults)
        self.shells = Shells(self._controlled(interpreter), max_shells)
        self.max_envelope = max_envelope
        self.max_timeout = max_timeout
        self.counts = {}

    def _controlled(self, interpreter):
        """The interpreter, with the commands that control the fake itself before it."""
        def run(line, stdin, stdout, stderr):
            if line == "fake status":
                status = {**self.shells.status(), "counts": self.counts}
                stdout.write(json.dumps(status).encode() + b"\n")
                return 0
            if line.startswith("fake faults "):
                self.faults.set(line.removeprefix("fake faults "))
                return 0
            return interpreter(line, stdin, stdout, stderr)
        return run

    def answer(self, request, user, address, client, rule):
        """The envelope that answers, and the HTTP status."""
        self.counts[request.operation] = self.counts.get(request.operation, 0) + 1
        if request.operation == "Identify":
            return soap.identified(), 200
        try:
            if rule and rule["do"] == "fault":
                raise Fault(rule["code"])
            return getattr(self, "_" + request.operation.lower())(request, user, address, client, rule), 200
        except Fault as fault:
            return soap.fault(fault.code, request.message_id), 500

    def _create(self, request, user, address, client, _rule):
        if request.find("Shell") is None:
            raise soap.Bad("no Shell in the body")
        shell = self.shells.create(user)
        if shell is None:
            raise Fault(TOO_MANY)
        return soap.created(request, shell, address, client)

    def _shell(self, request):
        shell = self.shells.get(request.shell_id)
        if shell is None:
            raise Fault(NO_SUCH)
        return shell

    def _command_of(self, request, element):
        if element is None:
            raise soap.Bad(f"the body of {request.operation} is not as it should be")
        command = self._shell(request).commands.get(element.get("CommandId"))
        if command is None:
            raise Fault(NO_SUCH)
        return command

    def _command(self, request, *_):
        shell = self._shell(request)
        line = request.find("CommandLine/Command")
        if line is None or not line.text:
            raise soap.Bad("no Command")
        arguments = request.body.iterfind(f"{{{soap.RSP}}}CommandLine/{{{soap.RSP}}}Arguments")
        words = [line.text] + [argument.text or "" for argument in arguments]
        text = " ".join(words)
        if len(text) > LINE_LIMIT:
            raise Fault(2147942487)
        return soap.began(request, self.shells.run(shell, text))

    def _send(self, request, *_):
        stream = request.find("Send/Stream")
        command = self._command_of(request, stream)
        if stream.get("Name") != "stdin":
            raise soap.Bad("a Send to another stream than stdin")
        try:
            data = base64.b64decode(request.data or stream.text or b"")
        except binascii.Error as error:
            raise soap.Bad(f"the stream is not base64: {error}") from error
        try:
            in_time = command.stdin.offer(data, min(request.seconds, self.max_timeout))
        except BrokenPipeError:
            raise Fault(BROKEN_PIPE) from None
        except Busy:
            raise Fault(BUSY) from None
        if (stream.get("End") or "").lower() in ("true", "1"):
            command.stdin.end()
        if not in_time:
            # Seen on Windows: the piece is processed all the same, and the next one is refused meanwhile.
            raise Fault(TIMED_OUT)
        return soap.answered(request)

    def _receive(self, request, _user, _address, _client, rule):
        desired = request.find("Receive/DesiredStream")
        command = self._command_of(request, desired)
        shape = self.faults.shape
        budget = (min(request.max_envelope, self.max_envelope) - OVERHEAD) * 3 // 4
        if budget <= 0:
            raise Fault(TOO_LARGE)
        if command.reported:
            raise Fault(NO_SUCH)
        if rule and rule["do"] == "huge":
            pieces = [("stdout", bytes(rule.get("bytes", 1 << 20)))]
            return soap.received(request, command, pieces, False, shape)
        received = command.receive(min(request.seconds, self.max_timeout), min(budget, shape.answer or budget), shape)
        if self.shells.get(request.shell_id) is None:
            raise Fault(NO_SUCH)
        if received is None:
            raise Fault(TIMED_OUT)
        pieces, done = received
        command.reported = done
        return soap.received(request, command, pieces, done, shape)

    def _signal(self, request, *_):
        signal = request.find("Signal")
        shell = self._shell(request)
        code = request.find("Signal/Code")
        if signal is None or code is None or not (code.text or "").startswith(soap.RSP + "/signal/"):
            raise soap.Bad("the body of Signal is not as it should be")
        command = shell.commands.get(signal.get("CommandId"))
        # Windows answers a signal to a command that has gone as if it were there.
        if command is not None:
            self.shells.forget(shell, command)
        return soap.answered(request)

    def _delete(self, request, *_):
        if not self.shells.delete(request.shell_id):
            raise Fault(NO_SUCH)
        return soap.deleted(request)
