"""requirements.lock: every pin has its hashes, and is one that the project can be set up with."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from workspace import ROOT

TEXT = (ROOT / "requirements.lock").read_text()
PINS = {
    canonicalize_name(pin.name): pin
    for pin in map(Requirement, re.findall(r"^(\S+==.*?) \\$", TEXT, re.MULTILINE))
}


def test_every_pin_has_hashes_and_nothing_says_where_from() -> None:
    blocks = re.findall(
        r"^(\S+==[^\n]*) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", TEXT, re.M
    )
    assert "".join(f"{pin} \\\n{hashes}" for pin, hashes in blocks) == TEXT
    assert len(blocks) == len(PINS) > 200
    assert "://" not in TEXT


def test_what_is_asked_for_is_pinned_to_a_version_that_will_do() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    asked += project["project"]["optional-dependencies"]["export"]
    for requirement in map(Requirement, (*asked, *project["build-system"]["requires"])):
        (pin,) = PINS[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), requirement


def test_what_only_linux_or_a_newer_python_needs_is_not_installed_elsewhere() -> None:
    mac = {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}
    new = {"python_version": "3.14", "python_full_version": "3.14.0"}
    left_out = {
        name for name, pin in PINS.items() if pin.marker and not pin.marker.evaluate({**mac, **new})
    }
    assert {name for name in PINS if name.startswith(("nvidia-", "cuda-", "triton"))} <= left_out
    whenever = PINS["whenever"].marker  # what Prefect needs in the place of pendulum
    assert whenever is not None and whenever.evaluate(new)
    assert not whenever.evaluate({"python_version": "3.11", "python_full_version": "3.11.9"})
    assert "torch" not in left_out
