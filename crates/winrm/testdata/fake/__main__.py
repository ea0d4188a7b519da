"""Runs the fake. Prints one line of JSON once it listens: the ports and the certificate's SHA-256."""

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys

from . import certificate, commands
from .auth import Accounts
from .server import Server
from .service import Service


def arguments():
    parser = argparse.ArgumentParser(prog="fake winrm", description=__doc__)
    parser.add_argument("--https", metavar="ADDRESS:PORT", help="listen with TLS")
    parser.add_argument("--http", metavar="ADDRESS:PORT", help="listen without TLS")
    parser.add_argument("--certificate", help="PEM file; without it a certificate is made")
    parser.add_argument("--key", help="PEM file")
    parser.add_argument("--user", default="builder")
    parser.add_argument("--password", default=os.environ.get("FAKE_WINRM_PASSWORD", "Passw0rd!"))
    parser.add_argument("--domain", default="", help="of the user, for NTLM")
    parser.add_argument("--allow-unencrypted", action="store_true", help="Basic without TLS")
    parser.add_argument("--ntlm", action="store_true", help="Negotiate; needs pyspnego")
    parser.add_argument("--interpreter", metavar="FILE.py:FUNCTION", help="runs the commands instead of commands.py")
    parser.add_argument("--faults", default=os.environ.get("FAKE_WINRM_FAULTS", "{}"), help="JSON: see faults.py")
    parser.add_argument("--max-envelope", type=int, default=512000, help="bytes")
    parser.add_argument("--max-shells", type=int, default=30)
    parser.add_argument("--max-timeout", type=float, default=60, help="seconds that an operation waits at most, whatever is asked")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    return parser.parse_args()


def interpreter(where):
    if where is None:
        return commands.run
    path, _, name = where.rpartition(":")
    spec = importlib.util.spec_from_file_location("interpreter", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["interpreter"] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    args = arguments()
    service = Service(interpreter(args.interpreter), args.faults, args.max_envelope, args.max_shells, args.max_timeout)
    accounts = Accounts(args.user, args.password, args.allow_unencrypted, args.ntlm)
    server = Server(service, accounts)
    remove = []
    if args.ntlm:
        from . import ntlm
        remove.append(ntlm.set_account(args.domain, args.user, args.password))
    report = {}
    try:
        if args.https:
            files = args.certificate, args.key
            if not args.certificate:
                folder = certificate.temporary()
                remove.append(folder)
                files = certificate.make(folder)
            report["certificate"] = certificate.fingerprint(files[0])
            report["https"] = server.listen(address(args.https), certificate.context(*files))
        if args.http:
            report["http"] = server.listen(address(args.http))
        print(json.dumps(report), flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if args.until_eof:
            while sys.stdin.buffer.read(65536):
                pass
        else:
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        for path in remove:
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)


main()
