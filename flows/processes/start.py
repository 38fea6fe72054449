"""A flow from the command line: once, on the server there is or on a temporary one, or by cron."""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from prefect import Flow, State
from prefect.settings import PREFECT_API_URL

from flows import NEEDS_A_SERVER
from flows.processes.programs import run_program

ON_A_LEASH = "TSN_FLOW_ON_A_LEASH"


def start(
    parser: argparse.ArgumentParser,
    flow: Flow[..., Any],
    values: Mapping[str, Any],
    *,
    name: str,
    cron: str | None,
) -> None:
    """Runs the flow with these parameters; with `cron`, stays and runs it on that schedule.

    Ends this program with the flow's message unless it completes. A schedule, and a `pool` among
    the values, need a server, and `name` is then what the deployment is called.
    """
    has_server = PREFECT_API_URL.value() is not None
    if (cron or values.get("pool")) and not has_server:
        parser.error(NEEDS_A_SERVER)
    if cron:
        flow.serve(name=name, cron=cron, limit=1, parameters=dict(values))
    elif has_server or os.environ.get(ON_A_LEASH):
        state = cast(State, flow(**values, return_state=True))
        if not state.is_completed():
            sys.exit(f"{parser.prog}: {state.message}")
    else:
        sys.exit(on_a_leash())


def on_a_leash() -> int:
    """Runs this very command so that the temporary server ends with it, even by kill -9."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is ended before we are
    os.environ[ON_A_LEASH] = "yes"
    return run_program(sys.orig_argv, Path.cwd(), ask_first="alone")
