"""A flow from the command line: on the server there is, or on a temporary one.

Without `PREFECT_API_URL` there may be a temporary server, which has to end with the command: then
`on_a_leash` has a second process do all of it, and this one does not even load Prefect.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows.processes.programs import run_program
from stages.runtime.places import make_private_file
from stages.tracking.store import without_credentials

if TYPE_CHECKING:
    from prefect import Flow, State

ON_A_LEASH = "TSN_FLOW_ON_A_LEASH"
TRIGGERS = "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED"  # evaluates automations with every event


def start(name: str, flow: "Flow[..., Any]", values: Mapping[str, Any]) -> None:
    """Run the flow of the command `name` with these parameters; a `pool` among them needs a server.

    Ends this program with the flow's message unless it completes.
    """
    from prefect.settings import PREFECT_API_URL  # which a profile may have, too

    make_prefect_private()
    if (url := PREFECT_API_URL.value()) is not None:
        require_answer(url)
    elif values.get("pool"):
        raise ValueError(
            "a pool needs a Prefect server: start one with everything else by `tsn server` and "
            "set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    try:
        state = cast("State", flow(**values, return_state=True))
    except RuntimeError as error:
        if "ephemeral" not in str(error):
            raise
        raise ValueError(
            f"{error} It may say why above. A server that is there already is used: start one by "
            "`tsn server` and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        ) from error
    if not state.is_completed():
        sys.exit(f"{name}: {state.message}")


def require_answer(url: str) -> None:
    """Raise ValueError unless the Prefect server is there."""
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
    except Exception as wrong:  # an address or a proxy that is none
        error = wrong
    if error is None:
        return
    if os.environ.get("PREFECT_API_URL"):
        how = "unset PREFECT_API_URL"
    else:
        how = "`prefect config unset PREFECT_API_URL`, as the profile has it"
    told = without_credentials(f"{url} ({error})")
    raise ValueError(
        f"no Prefect server answers at {told}: start it (`tsn server`), or {how}, to run on a "
        "temporary one"
    )


def make_prefect_private() -> None:
    """Make Prefect's database on this machine for its owner's eyes."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private_file(home / "prefect.db")


def on_a_leash() -> bool:
    """Run this very command so that a temporary server ends with it, even by kill -9.

    Ends this program if that fails. Return False where this process itself is to do the command:
    there is a server, or it is on the leash.
    """
    if os.environ.get("PREFECT_API_URL") or os.environ.get(ON_A_LEASH):
        return False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is ended before we are
    os.environ[ON_A_LEASH] = "yes"
    os.environ.setdefault(TRIGGERS, "false")  # only `tsn server` has automations
    command = [sys.executable, "-m", "flows.cli", *sys.argv[1:]]
    if (code := run_program(command, Path.cwd(), ask_first="alone")) != 0:
        sys.exit(code)
    return True
