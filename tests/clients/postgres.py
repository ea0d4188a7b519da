"""A temporary PostgreSQL server on a socket in a folder."""

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

STARTS_WITHIN_S = 120


def programs():
    """The folder with the programs of the newest release."""
    found = [path.parent for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    assert found, "install the package postgresql (scripts/setup.sh does)"
    return max(found, key=lambda path: int(path.parent.name))


@contextlib.contextmanager
def serving():
    """The address of an empty database, and a function that executes SQL and returns rows."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="goldsmith-pg-", dir="/tmp"))
    owner = {}
    if os.geteuid() == 0:
        # PostgreSQL does not run as root.
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(program, *words):
        done = subprocess.run(
            [programs() / program, *words], cwd=folder, capture_output=True, text=True, timeout=STARTS_WITHIN_S, **owner
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(sql):
        words = ["-h", folder, "-U", "tester", "-d", "postgres", "-At", "-F", "|", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return [line.split("|") for line in run("psql", *words).splitlines()]

    options = f"-k '{folder}' -c listen_addresses='' -c fsync=off -c shared_buffers=16MB"
    try:
        run("initdb", "-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        # With inherited output, it would keep the pipe of the tests open.
        run("pg_ctl", "start", "-w", "-t", str(STARTS_WITHIN_S), "-D", "data", "-l", "log", "-s", "-o", options)
        yield f"postgres:///postgres?host={folder}&user=tester", ask
    finally:
        subprocess.run([programs() / "pg_ctl", "stop", "-m", "immediate", "-D", "data"], cwd=folder, check=False, **owner)
        shutil.rmtree(folder, ignore_errors=True)
