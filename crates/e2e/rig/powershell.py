"""The rig's cmd.exe and powershell.exe: the command lines that goldsmith and the tests' templates use.

It imitates what goldsmith's scripts document of themselves, and does not read them further than their first
line. It proves nothing about PowerShell.
"""

import base64
import re

import language
import places
import power
import product

NOT_THERE = "'{}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
PENDING = 1190


def run(line, stdin, stdout, stderr):
    """One command line; its exit code."""
    words = [word.strip('"') for word in re.findall(r'(?:"[^"]*"|\S)+', line)]
    name = re.sub(r"\.exe$", "", words[0].lower().rpartition("\\")[2])
    if name == "powershell":
        return powershell(line, stdin, stdout, stderr)
    places.note("command", line=line)
    command = COMMANDS.get(name)
    if command is None:
        stderr.write(NOT_THERE.format(words[0]).encode())
        return 1
    return command(line, words, stdin, stdout, stderr) or 0


def powershell(line, stdin, stdout, stderr):
    encoded = re.search(r"-EncodedCommand\s+(\S+)", line, re.I)
    if encoded:
        text = base64.b64decode(encoded[1]).decode("utf-16-le")
        if "# goldsmith: bootstrap" in text:
            return product.call(stdin, stdout, stderr)
    else:
        places.note("command", line=line)
        text = re.search(r"(?:-Command\s+|powershell(?:\.exe)?\"?\s+(?!-))(.*)$", line, re.I | re.S)
        text = (text[1] if text else "").strip()
        text = text[1:-1] if text[:1] == text[-1:] == '"' else text
    return language.Script(text, stdout.write, stderr.write, places.load()["user"]).run()


def shutdown(_line, words, _stdin, _stdout, stderr):
    options = [word.lower() for word in words[1:]]
    if "/a" in options:
        return 0 if power.cancelled() else 1116
    if power.pending():
        stderr.write(b"A system shutdown is already scheduled.(1190)\r\n")
        return PENDING
    after = int(options[options.index("/t") + 1]) if "/t" in options else 30
    power.later(after + 0.3, "restart" if "/r" in options else "off")


def delete(_line, words, *_):
    for word in words[1:]:
        if not word.startswith("/"):
            product.remove(places.real(word))


def echo(line, _words, _stdin, stdout, _stderr):
    stdout.write(line.partition(" ")[2].encode() + b"\r\n")


COMMANDS = {
    "shutdown": shutdown, "del": delete, "echo": echo,
    "exit": lambda _line, words, *_: int(words[-1]) & 0xFFFFFFFF,
    "cmd": lambda line, _words, *pipes: run(re.split(r"/c\s+", line, maxsplit=1, flags=re.I)[1].strip('"'), *pipes),
    "whoami": lambda _line, _words, _stdin, stdout, _stderr: stdout.write(f"rig\\{places.load()['user']}\r\n".encode()) and None,
}
