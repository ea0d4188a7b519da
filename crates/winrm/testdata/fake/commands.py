"""The default interpreter: a few commands for tests. Any other line is "not recognized", as cmd.exe says."""

import hashlib
import time


def run(line, stdin, stdout, stderr):
    name, _, rest = line.partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        stderr.write(f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n".encode())
        return 1
    return command(rest, stdin, stdout, stderr) or 0


def echo(rest, _stdin, stdout, _stderr):
    stdout.write(rest.encode() + b"\r\n")


def exit_with(rest, *_):
    return int(rest)


def both(rest, _stdin, stdout, stderr):
    """Each word on one stream after the other."""
    for at, word in enumerate(rest.split()):
        (stderr if at % 2 else stdout).write(word.encode())
    return 7


def pieces(rest, _stdin, stdout, _stderr):
    """Writes each hexadecimal word by itself."""
    for word in rest.split():
        stdout.write(bytes.fromhex(word))


def cat(_rest, stdin, stdout, _stderr):
    while data := stdin.read():
        stdout.write(data)


def digest(_rest, stdin, stdout, _stderr):
    """How many bytes came, and their SHA-256."""
    length, hashed = 0, hashlib.sha256()
    while data := stdin.read():
        length += len(data)
        hashed.update(data)
    stdout.write(f"{length} {hashed.hexdigest()}\r\n".encode())


def late(rest, stdin, stdout, stderr):
    """Reads nothing for so many seconds, then as `digest`."""
    sleep(rest, stdin, stdout, stderr)
    return digest(rest, stdin, stdout, stderr)


def sleep(rest, stdin, _stdout, _stderr):
    """Until the time is over or the client ends the command."""
    ended = []
    stdin.on_terminate(lambda: ended.append(True))
    until = time.monotonic() + float(rest)
    while time.monotonic() < until and not ended:
        time.sleep(0.02)


def flood(rest, _stdin, stdout, _stderr):
    """So many bytes; without a number, without end."""
    left = int(rest) if rest else -1
    while left:
        size = 65536 if left < 0 else min(left, 65536)
        stdout.write(b"0123456789abcde\n" * (size // 16) + b"." * (size % 16))
        left -= size if left > 0 else 0


def clixml(_rest, _stdin, stdout, stderr):
    """What powershell.exe writes to a redirected stderr, progress included."""
    stdout.write(b"out\r\n")
    stderr.write(
        b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        b'<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T><T>System.Object</T></TN>'
        b'<MS><I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC>'
        b'<T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj>'
        b'<S S="Error">it broke_x000D__x000A_</S><S S="Error">caf\xc3\xa9 &amp; more_x000D__x000A_</S></Objs>')
    return 1


COMMANDS = {
    "echo": echo, "exit": exit_with, "both": both, "pieces": pieces, "cat": cat, "digest": digest,
    "late": late, "sleep": sleep, "flood": flood, "clixml": clixml,
}
