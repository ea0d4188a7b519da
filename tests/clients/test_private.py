"""The service's files are private to its user, whatever umask it was started with."""

import os
import stat

import pytest

from resource_manager import asks_in_group, created, ran
from service import prepared, running
from templates import body, shell

OPEN = 0o022
OTHERS = 0o077


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    before = os.umask(OPEN)
    try:
        prepared(folder)
        # Left by an older goldsmith without this rule.
        (folder / "data" / "images").mkdir()
        (folder / "cache" / "downloads").mkdir(parents=True)
        with running(folder) as service:
            yield service
    finally:
        os.umask(before)


def readable_by_others(folder):
    """All files below the folder that others can access, except for the user's catalogue."""
    for where, folders, files in os.walk(folder):
        for name in folders + files:
            at = os.path.join(where, name)
            mode = os.lstat(at).st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode) and name != "catalogue.toml":
                yield f"{at} {stat.filemode(mode)}"


def test_files_of_a_run_are_not_readable_by_others(service):
    ask = asks_in_group(service)
    created(ask, "private", body(service, customize=[shell("echo secret")]))
    assert ran(ask, "private")["status"] == "Succeeded"
    for folder in (service.data, service.cache):
        assert list(readable_by_others(folder)) == []
