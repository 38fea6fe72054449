"""What the environment says of proxies, a home and a terminal, repaired where a library would fail.

Every stage and every command of `tsn` calls `prepare` first, and what they start inherits it.
"""

import io
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path

from stages.runtime.places import HOME, PROJECT_ROOT

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# Neither httpx (Prefect) nor urllib can use a SOCKS proxy, and httpx does not even start with one.
SOCKS = "TSN_SOCKS_PROXY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Where libraries write below the home, by the variable that has them write elsewhere.
IN_HOME = {
    "PREFECT_HOME": ".prefect",
    "XDG_CACHE_HOME": ".cache",
    "MPLCONFIGDIR": ".config/matplotlib",
    "TRITON_CACHE_DIR": ".triton/cache",
}


def prepare() -> None:
    """Repair the variables of this process. May be called again: then it changes nothing."""
    _pass_proxies_by()
    _find_home(PROJECT_ROOT / HOME)
    _print_anything()


def _pass_proxies_by() -> None:
    """Have servers on this machine asked directly, and downloads go through the proxy."""
    given = {name: value for name, value in os.environ.items() if name.lower() in PROXIES and value}
    if not given:
        return
    for name, value in given.items():
        if value.lower().startswith("socks"):
            os.environ[SOCKS] = os.environ.pop(name)
        elif name.lower() == "all_proxy":  # which urllib does not know
            for scheme in ("http_proxy", "https_proxy"):
                if not {scheme, scheme.upper()} & given.keys():
                    os.environ[scheme] = value
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in direct.split(",") if host.strip()]
    hosts += [host for host in LOOPBACK if host not in hosts]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


def _find_home(instead: Path) -> None:
    """Have libraries write below the project where the home cannot be written to.

    A user without a name, as of `docker run --user 12345`, gets one: DVC asks for it.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path.expanduser raises where nobody knows
    if not home.is_absolute():
        instead.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(instead)
    for variable, folder in IN_HOME.items():
        if variable not in os.environ and not (home.is_dir() and _is_writable(home / folder)):
            with suppress(OSError):  # whoever needs it says so
                (instead / folder).mkdir(parents=True, exist_ok=True)
            os.environ[variable] = str(instead / folder)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", str(os.getuid()))


def _is_writable(folder: Path) -> bool:
    """Return whether the folder, or the lowest one above it that is there, can be written to."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _print_anything() -> None:
    """Have what the terminal's encoding lacks printed as `?`, by this program and by others."""
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    os.environ["PYTHONIOENCODING"] = f"{encoding}:replace"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
