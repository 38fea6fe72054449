"""requirements.lock: every pin has its hashes, and is one that the project can be set up with."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

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
    run, dev = asked_for()
    for requirement in (*run, *dev):
        (pin,) = PINS[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), requirement


def asked_for() -> tuple[list[Requirement], list[Requirement]]:
    """Return what pyproject.toml asks for, to run the project and to work on it."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = asked["project"]
    run = [*project["dependencies"], *project["optional-dependencies"]["export"]]
    dev = [*asked["dependency-groups"]["dev"], *asked["build-system"]["requires"]]
    return [Requirement(text) for text in run], [Requirement(text) for text in dev]


def test_what_is_imported_is_asked_for_by_name() -> None:
    """Not only by what something else happens to need. Triton comes with PyTorch, where it is."""
    distributions = packages_distributions()
    run, dev = ({canonicalize_name(row.name) for row in rows} for rows in asked_for())
    for folders, named in (
        (("tsn", "stages", "flows"), run),
        (("tests", "benchmarks"), run | dev),
    ):
        imported = {name for folder in folders for name in imports(ROOT / folder)}
        for name in (imported & distributions.keys()) - {"tsn", "stages", "flows", "triton"}:
            found = {canonicalize_name(text) for text in distributions[name]}
            assert found & named, f"{name} is imported below {', '.join(folders)}"


def imports(folder: Path) -> Iterator[str]:
    """Yield the top name of every module that a folder's code imports."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


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
