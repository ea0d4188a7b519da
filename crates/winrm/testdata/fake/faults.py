"""Misbehaviour on purpose.

Faults are JSON: {"rules": [RULE, ...], SHAPE...}. A rule is {"on": OPERATION, "do": ACTION, "after": N, "times": M, ...}:
it lets N operations pass (0), then acts on M of them (1; -1 is always). OPERATION is Identify, Create, Command, Receive,
Send, Signal, Delete, "*" for any of these, or "connect" for a new connection.

Actions before the operation, which is then not carried out:
  cut      close the connection without an answer
  silence  answer nothing for `seconds` (600), then close
  status   HTTP status `status`
  fault    the SOAP fault `code`; `code` 2150858793 is the end of OperationTimeout
  forget   all shells and commands are gone; then the operation is carried out after all
  reboot   all shells and commands are gone; connections are closed, and refused for `seconds` (0)
Actions after it:
  lose     close the connection without an answer
  half     send half of the answer, then close
  close    send the answer, then close without a word
  drip     send the answer `bytes` (1) at a time, each `seconds` (0.05)
  garbage  answer `text` ("<not xml") instead
  chunked  answer in chunks
  endless  answer with a body without end
  huge     answer with `bytes` (1048576) of standard output, far above MaxEnvelopeSize
  tamper   change a bit of the signature of an encrypted answer
  plain    answer an encrypted request in plain
For "connect": silence (accept and say nothing), cut.

The shape of all answers:
  piece          bytes in one Stream element at most
  answer         bytes of output in one Receive's answer at most
  done_apart     output and Done never in the same answer
  no_ends        no empty Stream elements with End="true"
  no_code        Done without an ExitCode
  signed         ExitCode as a signed number
  space          a space in each boundary line of encrypted answers
"""

import json
import threading

BEFORE = {"cut", "silence", "status", "fault", "forget", "reboot"}
AFTER = {"lose", "half", "close", "drip", "garbage", "chunked", "endless", "huge", "tamper", "plain"}
OPERATIONS = {"Identify", "Create", "Command", "Receive", "Send", "Signal", "Delete", "*", "connect"}


class Shape:
    def __init__(self, settings):
        self.piece = settings.pop("piece", 0)
        self.answer = settings.pop("answer", 0)
        self.done_apart = settings.pop("done_apart", False)
        self.no_ends = settings.pop("no_ends", False)
        self.no_code = settings.pop("no_code", False)
        self.signed = settings.pop("signed", False)
        self.space = settings.pop("space", False)


class Faults:
    def __init__(self, text="{}"):
        self.lock = threading.Lock()
        self.set(text)

    def set(self, text):
        settings = json.loads(text or "{}")
        rules = settings.pop("rules", [])
        shape = Shape(settings)
        unknown = list(settings) + [r for r in rules if r.get("do") not in BEFORE | AFTER or r.get("on") not in OPERATIONS]
        if unknown:
            raise ValueError(f"unknown in faults: {unknown}")
        with self.lock:
            self.rules, self.shape = rules, shape

    def take(self, operation):
        """The rule that acts on this operation, if one does."""
        with self.lock:
            for rule in self.rules:
                if rule["on"] != operation and (rule["on"] != "*" or operation == "connect"):
                    continue
                if rule.get("after", 0) > 0:
                    rule["after"] -= 1
                elif rule.get("times", 1) != 0:
                    rule["times"] = rule.get("times", 1) - 1
                    return rule
        return None
