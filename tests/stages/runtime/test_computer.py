"""The computer in words."""

import platform
from importlib.metadata import version

from stages.runtime.computer import LIBRARIES, describe_computer


def test_versions_are_those_that_are_installed() -> None:
    found = describe_computer()
    expected = [f"{name} {version(distribution)}" for name, distribution in LIBRARIES.items()]
    assert found["versions"].split(", ") == [f"Python {platform.python_version()}", *expected]
    assert found["device"] and found["system"].startswith(platform.system())
