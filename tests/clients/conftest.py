"""A service for each test file, and what its tests ask it with. A file that needs more of one of these gives
its own of that name, upon the one here."""

import pytest

from resource_manager import asks_in_group
from service import prepared, running
from web_files import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the service's files."""
    return prepared(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def flags():
    """Further flags of `goldsmith serve`."""
    return []


@pytest.fixture(scope="module")
def service(folder, flags):
    with running(folder, flags) as service:
        yield service


@pytest.fixture(scope="module")
def arm(service):
    """A function that calls the resource manager. The group `rg` exists and contains an identity."""
    return asks_in_group(service)


@pytest.fixture(scope="module")
def scripts():
    """The files that templates fetch over HTTP; tests may change them."""
    with serving({"/hello.sh": b"echo hello\n", "/motd": b"welcome\n"}) as files:
        yield files
