"""A service for each test file, and what its tests ask it with. A file that needs more of one of these gives
its own of that name, upon the one here."""

import pytest

from resource_manager import asks_in_group
from service import prepared, running
from web_files import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything of the service is below it."""
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
    """Asks the service's resource manager; the group `rg` and an identity in it are there."""
    return asks_in_group(service)


@pytest.fixture(scope="module")
def scripts():
    """What a template fetches, over HTTP; it can be changed."""
    with serving({"/hello.sh": b"echo hello\n", "/motd": b"welcome\n"}) as files:
        yield files
