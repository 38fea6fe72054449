"""A flow from the command line: on the server there is, or on a temporary one."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from prefect import Flow, State
from prefect.settings import PREFECT_API_URL

from flows.processes.programs import run_program

ON_A_LEASH = "TSN_FLOW_ON_A_LEASH"


def start(name: str, flow: Flow[..., Any], values: Mapping[str, Any]) -> bool:
    """Run the flow of the command `name` with these parameters; a `pool` among them needs a server.

    Ends this program with the flow's message unless it completes. Return whether it ran in this
    process, not in one that did all of this command.
    """
    has_server = PREFECT_API_URL.value() is not None
    if values.get("pool") and not has_server:
        raise ValueError(
            "a pool needs a Prefect server: start one with everything else by `tsn server` and "
            "set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    if has_server or os.environ.get(ON_A_LEASH):
        state = cast(State, flow(**values, return_state=True))
        if not state.is_completed():
            sys.exit(f"{name}: {state.message}")
        return True
    if (code := on_a_leash()) != 0:
        sys.exit(code)
    return False


def on_a_leash() -> int:
    """Run this very command so that the temporary server ends with it, even by kill -9."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is ended before we are
    os.environ[ON_A_LEASH] = "yes"
    command = [sys.executable, "-m", "flows.cli", *sys.argv[1:]]
    return run_program(command, Path.cwd(), ask_first="alone")
