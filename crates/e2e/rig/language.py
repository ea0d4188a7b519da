"""The few words of PowerShell that the tests' own scripts use.

This proves nothing about PowerShell. It lets a test say what a script prints, how it ends and how long it
takes, so that what goldsmith makes of that can be seen. A word that is not here is an error and never a
success.

Statements end with a line or with ";". There are

  Write-Output, Write-Host, Write-Error, Write-Warning, echo, a text by itself
  Set-Content, Add-Content, Out-File [-Path] PATH [-Value] TEXT; Get-Content, Remove-Item; New-Item -ItemType Directory PATH
  Start-Sleep [-Seconds | -Milliseconds] N; exit [N]; throw TEXT; whoami; Restart-Computer; cmd /c exit N
  if (CONDITION) { } [else { }]; try { } catch { }; while (CONDITION) { }; foreach ($x in A..B) { }
  $name = VALUE; values: numbers, 'text', "text with $name, $env:NAME and $(statement)", (statement), A + B
  conditions: values, -not, !, -and, -or, Test-Path PATH, A -eq | -ne | -lt | -gt | -match | -like B

and a line "#!rig sh COMMAND", which runs COMMAND by /bin/sh with C: as its folder.
"""

import fnmatch
import os
import re
import subprocess
import time

import places
import power
import trial


class Exit(Exception):
    """The script ends with that code."""


class Thrown(Exception):
    """What `throw` threw, or what failed."""


class Unreadable(Exception):
    """The text does not parse."""


class Stopped(Exception):
    """Somebody ended the script."""


TOKEN = re.compile(
    r"""(?P<end>;|\n) | (?P<space>[ \t\r]+ | `\r?\n | \#.*) | (?P<single>'(?:[^']|'')*') | (?P<double>"(?:[^"`]|`.|"")*")
      | (?P<open>[({]) | (?P<close>[)}]) | (?P<op>\||\+|=(?!=)|!|&) | (?P<word>(?:\$\(|[^\s;'"(){}|+=!&])+)""", re.X)


class Script:
    """One run of a text."""

    def __init__(self, text, out, err, user, stopped=lambda: False):
        self.out, self.err, self.user, self.stopped = out, err, user, stopped
        self.variables = {"true": True, "false": False, "null": "", "lastexitcode": 0}
        self.captures = []
        self.text = text.lstrip("\ufeff")

    def run(self):
        """The exit code."""
        own = trial.SCRIPTS.get(self.text.partition("\n")[0].strip().removeprefix("# goldsmith: "))
        if own:
            return own(self.out, self.err, self.user)
        items = tokens(self.text)
        try:
            self.statements(items)
        except Exit as end:
            return int(end.args[0]) & 0xFFFFFFFF
        except Thrown as thrown:
            self.err(f"{thrown}\r\n".encode())
            return 1
        return int(self.variables["lastexitcode"])

    def say(self, value):
        values = value if isinstance(value, list) else [value]
        for value in values:
            if self.captures:
                self.captures[-1].append(value)
            else:
                self.out(f"{shown(value)}\r\n".encode())

    def captured(self, run):
        self.captures.append([])
        try:
            run()
        finally:
            said = self.captures.pop()
        return said[0] if len(said) == 1 else said

    # Statements

    def statements(self, items):
        at = 0
        while at < len(items):
            if self.stopped():
                raise Stopped
            if items[at][0] == "end":
                at += 1
                continue
            name = items[at][1].lower() if items[at][0] == "word" else ""
            structure = getattr(self, "do_" + name, None) if name in ("if", "try", "while", "foreach") else None
            if structure:
                at = structure(items, at + 1)
                continue
            end = next((n for n in range(at, len(items)) if items[n][0] == "end"), len(items))
            self.pipeline(items[at:end])
            at = end

    def do_if(self, items, at):
        done = False
        while True:
            condition, block, at = items[at][1], items[at + 1][1], at + 2
            if not done and self.condition(condition):
                done = True
                self.statements(block)
            at = self.past_ends(items, at, "else", "elseif")
            if at < len(items) and items[at] == ("word", "elseif"):
                at += 1
                continue
            if at < len(items) and items[at][1] == "else":
                if not done:
                    self.statements(items[at + 1][1])
                at += 2
            return at

    def do_try(self, items, at):
        block, at = items[at][1], self.past_ends(items, at + 1, "catch")
        try:
            self.statements(block)
        except Thrown as thrown:
            self.variables["_"] = str(thrown)
            self.statements(items[at + 1][1])
        return at + 2

    def do_while(self, items, at):
        while self.condition(items[at][1]):
            self.statements(items[at + 1][1])
        return at + 2

    def do_foreach(self, items, at):
        head = [text for kind, text in items[at][1] if kind == "word"]
        first, _, last = head[2].partition("..")
        for value in range(int(first), int(last) + 1):
            self.variables[head[0][1:].lower()] = value
            self.statements(items[at + 1][1])
        return at + 2

    @staticmethod
    def past_ends(items, at, *names):
        """Past line ends, if one of these words follows."""
        after = at
        while after < len(items) and items[after][0] == "end":
            after += 1
        follows = after < len(items) and items[after][0] == "word" and items[after][1].lower() in names
        return after if follows else at

    def pipeline(self, items):
        parts, part = [], []
        for item in items:
            if item == ("op", "|"):
                parts.append(part)
                part = []
            else:
                part.append(item)
        value = None
        for before in parts:
            value = self.captured(lambda before=before, value=value: self.command(before, value))
        self.command(part, value)

    def command(self, items, given):
        if items[0] == ("op", "=") or (len(items) > 2 and items[1] == ("op", "=")):
            self.variables[self.key(items[0][1][1:])] = self.value(items[2:])
            return
        kind, name = items[0]
        if items[0] == ("op", "&") and items[1][0] == "open":
            return self.statements(items[1][1])
        if kind == "rig":
            return self.shell(name)
        if kind != "word" or name[0] in "$-0123456789":
            return self.say(self.value(items))
        function = getattr(self, "run_" + name.lower().replace("-", "_").replace(".exe", ""), None)
        if function is None:
            raise Thrown(f"{name} : The term '{name}' is not recognized by the rig, which is no PowerShell.")
        function(Words(self, items[1:], given))

    # Values

    def value(self, items):
        if items and items[0][0] == "word" and re.match(r"^[A-Za-z]", items[0][1]) and not re.fullmatch(r"\d.*", items[0][1]):
            return self.captured(lambda: self.pipeline(items))
        values = [self.one(item) for item in items if item[0] != "op"]
        if len(values) < 2:
            return values[0] if values else ""
        if all(isinstance(value, int) for value in values):
            return sum(values)
        return "".join(map(shown, values))

    def one(self, item):
        kind, text = item
        if kind == "single":
            return text[1:-1].replace("''", "'")
        if kind == "double":
            return self.expanded(text[1:-1])
        if kind == "open":
            return self.captured(lambda: self.statements(text))
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        if re.fullmatch(r"0x[0-9a-fA-F]+", text):
            return int(text, 16)
        if text.startswith("$"):
            return self.variable(text[1:])
        return text

    @staticmethod
    def key(name):
        return name.strip("{}").lower().removeprefix("global:")

    def variable(self, name):
        name = self.key(name)
        if name.startswith("env:"):
            own = {"username": self.user}
            return own.get(name[4:]) or places.VARIABLES.get(name[4:]) or os.environ.get("RIG_" + name[4:].upper(), "")
        return self.variables.get(name, "")

    def expanded(self, text):
        def inner(match):
            if match[1] is not None:
                return shown(self.captured(lambda: self.statements(tokens(match[1]))))
            return shown(self.variable(match[2]))
        text = re.sub(r"(?<!`)\$(?:\(([^)]*)\)|(\{?(?:env:)?\w+\}?))", inner, text)
        return re.sub(r"`(.)", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1]), text).replace('""', '"')

    def condition(self, items):
        items = [item for item in items if item[0] != "end"]
        for at, item in enumerate(items):
            if item in (("word", "-and"), ("word", "-or")):
                combine = all if item[1] == "-and" else any
                return combine(self.condition(part) for part in (items[:at], items[at + 1:]))
        if items[0] in (("op", "!"), ("word", "-not")):
            return not self.condition(items[1:])
        for at, (kind, text) in enumerate(items):
            test = COMPARISONS.get(text.lower()) if kind == "word" else None
            if test:
                return test(self.value(items[:at]), self.value(items[at + 1:]))
        value = self.value(items)
        return bool(value) and value != "False"

    # Commands

    def run_write_output(self, words):
        for value in words.values or [words.given]:
            self.say(value)

    run_echo = run_write_output

    def run_write_host(self, words):
        self.out(f"{' '.join(map(shown, words.values))}\r\n".encode())

    def run_write_error(self, words):
        self.err(f"{shown(words.first())}\r\n".encode())

    def run_write_warning(self, words):
        self.out(f"WARNING: {shown(words.first())}\r\n".encode())

    def run_out_null(self, words):
        pass

    def run_set_content(self, words, mode="w"):
        path, value = words.path(), words.named("value")
        if value is None:
            value = words.values.pop(0) if words.values else words.given
        lines = value if isinstance(value, list) else [value]
        try:
            with open(places.real(path), mode, encoding="utf-8", newline="") as file:
                file.writelines(f"{shown(line)}\r\n" for line in lines)
        except OSError as error:
            raise Thrown(f"Could not find a part of the path '{path}': {error.strerror}") from None

    run_out_file = run_set_content

    def run_add_content(self, words):
        self.run_set_content(words, "a")

    def run_get_content(self, words):
        path = words.path()
        try:
            with open(places.real(path), encoding="utf-8", newline="") as file:
                self.say(file.read().splitlines())
        except OSError:
            raise Thrown(f"Cannot find path '{path}' because it does not exist.") from None

    def run_remove_item(self, words):
        try:
            os.unlink(places.real(words.path()))
        except OSError as error:
            raise Thrown(str(error)) from None

    def run_new_item(self, words):
        os.makedirs(places.real(words.path()), exist_ok=True)

    def run_test_path(self, words):
        path = words.path()
        is_there = self.key(path[9:]) in self.variables if path.startswith("variable:") else os.path.exists(places.real(path))
        self.say(is_there)

    def run_start_sleep(self, words):
        milliseconds = words.named("milliseconds")
        seconds = int(milliseconds) / 1000 if milliseconds is not None else float(words.named("seconds", "s") or words.first())
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.stopped():
                raise Stopped
            time.sleep(min(left, 0.1))

    def run_exit(self, words):
        raise Exit(words.values[0] if words.values and words.values[0] != "" else self.variables["lastexitcode"])

    def run_throw(self, words):
        raise Thrown(shown(words.first()))

    def run_whoami(self, _):
        self.say("nt authority\\system" if self.user == "SYSTEM" else f"rig\\{self.user}".lower())

    def run_restart_computer(self, _):
        power.later(0.2, "restart")

    def run_shutdown(self, words):
        power.later(0.2, "restart" if "/r" in words.values else "off")

    def run_cmd(self, words):
        if [str(value).lower() for value in words.values[:2]] != ["/c", "exit"]:
            raise Thrown("The rig's cmd knows exit, and nothing else.")
        self.variables["lastexitcode"] = int(words.values[2]) & 0xFFFFFFFF

    def shell(self, text):
        shell = subprocess.Popen(["/bin/sh", "-c", text], cwd="/c", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in shell.stdout:
            self.out(line.rstrip(b"\n") + b"\r\n")
        self.variables["lastexitcode"] = shell.wait() & 0xFFFFFFFF


class Words:
    """What follows the name of a command."""

    SWITCHES = ("-force", "-wait", "-nonewline", "-append", "-recurse")

    def __init__(self, script, items, given):
        self.given, self.values, self.options = given, [], {}
        at = 0
        while at < len(items):
            kind, text = items[at]
            if kind == "word" and re.match(r"^-[A-Za-z]", text):
                if text.lower() not in self.SWITCHES and at + 1 < len(items):
                    at += 1
                    self.options[text[1:].lower()] = script.one(items[at])
            elif kind != "op":
                value = script.one(items[at])
                at = self.joined(script, items, at, value)
            at += 1

    def joined(self, script, items, at, value):
        """Takes `value` and what is added to it by "+"."""
        while at + 2 < len(items) and items[at + 1] == ("op", "+"):
            value, at = shown(value) + shown(script.one(items[at + 2])), at + 2
        self.values.append(value)
        return at

    def named(self, *names):
        return next((self.options[name] for name in names if name in self.options), None)

    def first(self):
        return self.values.pop(0) if self.values else (self.given if self.given is not None else "")

    def path(self):
        named = self.named("path", "literalpath", "filepath")
        return shown(named if named is not None else self.values.pop(0))


COMPARISONS = {
    "-eq": lambda a, b: shown(a).lower() == shown(b).lower(),
    "-ne": lambda a, b: shown(a).lower() != shown(b).lower(),
    "-lt": lambda a, b: int(a) < int(b),
    "-gt": lambda a, b: int(a) > int(b),
    "-match": lambda a, b: re.search(shown(b), shown(a), re.I) is not None,
    "-like": lambda a, b: fnmatch.fnmatch(shown(a).lower(), shown(b).lower()),
}


def shown(value):
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return "" if value is None else str(value)


def tokens(text):
    """Pairs of kind and text; a bracket's text is the list of what is inside."""
    stack, at = [[]], 0
    while at < len(text):
        if text.startswith("#!rig sh ", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            stack[-1].append(("rig", text[at + 9:end].strip()))
            at = end
            continue
        match = TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"The rig cannot read: {text[at:at + 40]}")
        at = match.end()
        kind = match.lastgroup
        if kind == "open":
            stack.append([])
        elif kind == "close" and len(stack) > 1:
            inside = stack.pop()
            stack[-1].append(("open", inside))
        elif kind != "space":
            stack[-1].append((kind, match[0]))
    if len(stack) != 1:
        raise Unreadable("Missing closing '}' in statement block or type definition.")
    return stack[0]
