"""The stand-in for the service of Windows (crates/winrm/testdata/fake), judged by clients that are used with real Windows.

What they accept is fair to ask of our client.
"""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import winrm
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError

TESTDATA = Path(__file__).resolve().parents[2] / "crates/winrm/testdata"
USER, PASSWORD = "builder", "Passw0rd!"
TERMINATE = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate"
WAYS = {
    "basic over HTTP": ("basic", "http"),
    "basic over TLS": ("basic", "https"),
    "NTLM, encrypted": ("ntlm", "http"),
    "Negotiate, encrypted": ("negotiate", "http"),
}
pytestmark = pytest.mark.filterwarnings("ignore")


@contextmanager
def fake(*arguments):
    command = [sys.executable, "-m", "fake", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ntlm", "--allow-unencrypted",
               "--until-eof", *arguments]
    with subprocess.Popen(command, cwd=TESTDATA, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield json.loads(process.stdout.readline())
        process.stdin.close()


@pytest.fixture(scope="module")
def ports():
    with fake() as ports:
        yield ports


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request):
    return request.param


def wsman(ports, way, password=PASSWORD):
    auth, scheme = way
    encryption = "never" if (auth, scheme) == ("basic", "http") else "auto"
    return WSMan("127.0.0.1", port=ports[scheme], username=USER, password=password, auth=auth, ssl=scheme == "https",
                 cert_validation=False, encryption=encryption)


def run(ports, way, line, stdin=()):
    with wsman(ports, way) as service, WinRS(service, codepage=65001, no_profile=True) as shell:
        process = Process(shell, line)
        process.begin_invoke()
        for at, piece in enumerate(stdin):
            process.send(piece, at == len(stdin) - 1)
        process.end_invoke()
        process.signal(TERMINATE)
        return process.rc, process.stdout, process.stderr


def test_pypsrp_gets_the_exit_code_and_both_streams_apart(ports, way):
    assert run(ports, way, "both out err") == (7, b"out", b"err")


def test_pypsrp_sends_standard_input(ports, way):
    pieces = [os.urandom(100_000) for _ in range(20)]
    whole = b"".join(pieces)
    expected = f"{len(whole)} {hashlib.sha256(whole).hexdigest()}\r\n".encode()
    assert run(ports, way, "digest", pieces) == (0, expected, b"")


def test_pypsrp_receives_more_than_an_envelope(ports, way):
    code, out, _ = run(ports, way, "flood 2000000")
    assert (code, len(out)) == (0, 2_000_000)


def test_pypsrp_is_refused_with_a_wrong_password(ports, way):
    with pytest.raises(AuthenticationError):
        with wsman(ports, way, "wrong") as service, WinRS(service):
            pass


@pytest.mark.parametrize("code", [3221225786, 2147942501, 4294967295])
def test_pypsrp_gets_all_32_bits_of_the_exit_code(ports, code):
    assert run(ports, ("basic", "https"), f"exit {code}")[0] == code


def test_pypsrp_sees_the_end_of_operation_timeout_and_asks_again(ports):
    with wsman(ports, ("basic", "https")) as service, WinRS(service) as shell:
        service.operation_timeout = 1
        process = Process(shell, "sleep 3")
        process.invoke()
        assert process.rc == 0


def test_pypsrp_sees_the_fault_of_a_shell_that_is_gone():
    with fake("--faults", '{"rules": [{"on": "Command", "do": "fault", "code": 2150858843}]}') as ports:
        with pytest.raises(WSManFaultError) as raised:
            run(ports, ("basic", "https"), "echo hi")
        assert raised.value.code == 2150858843


def test_pypsrp_reads_boundaries_with_a_space():
    with fake("--faults", '{"space": true}') as ports:
        assert run(ports, ("ntlm", "http"), "both out err") == (7, b"out", b"err")


@pytest.mark.parametrize("auth, scheme", [("basic", "http"), ("basic", "https"), ("ntlm", "http")])
class TestPywinrm:
    def session(self, ports, auth, scheme, password=PASSWORD):
        return winrm.Session(f"{scheme}://127.0.0.1:{ports[scheme]}/wsman", auth=(USER, password), transport=auth,
                             server_cert_validation="ignore")

    def test_gets_the_exit_code_and_both_streams_apart(self, ports, auth, scheme):
        answer = self.session(ports, auth, scheme).run_cmd("both", ["out", "err"])
        assert (answer.status_code, answer.std_out, answer.std_err) == (7, b"out", b"err")

    def test_reads_the_errors_of_powershell(self, ports, auth, scheme):
        answer = self.session(ports, auth, scheme).run_cmd("clixml")
        assert answer.std_err.startswith(b"#< CLIXML\r\n")

    def test_is_refused_with_a_wrong_password(self, ports, auth, scheme):
        with pytest.raises(InvalidCredentialsError):
            self.session(ports, auth, scheme, "wrong").run_cmd("echo hi")


def test_no_shell_is_left(ports):
    run(ports, ("basic", "https"), "echo hi")
    status = json.loads(run(ports, ("basic", "https"), "fake status")[1])
    assert (status["shells"], status["commands"]) == (1, 1)
