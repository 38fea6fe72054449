"""model_server: a registered recogniser as a web service, within limits.

    python -m stages.tracking.model_server --model models:/mine@champion --port 5001

`tsn serve` starts it. It runs the copy of `tsn` that lies in the model, so neither this module nor
those it imports before the model is there may import this project's. Readers of videos are spawned
from here: what it imports at once is little.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

MEGABYTES, QUEUE = "TSN_SERVE_MEGABYTES", "TSN_SERVE_QUEUE"
HOSTS = "TSN_SERVE_HOSTS"  # more names of the server, with commas between
SECONDS_TO_STOP = 5  # for an answer that is nearly there


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What requests may take of the server; TSN_SERVE_<NAME> sets each.

    megabytes: of a request. queue: requests that may wait while as many as there are cores are
    answered.
    """

    megabytes: float = 128.0
    queue: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.megabytes < float("inf") or self.queue < 0:
            raise ValueError("megabytes is above 0 and finite, queue at least 0")


def read_limits() -> RequestLimits:
    """Return the limits of the environment; ValueError names a variable that is no number."""
    megabytes, queue = os.environ.get(MEGABYTES), os.environ.get(QUEUE)
    try:
        return RequestLimits(
            megabytes=float(megabytes or RequestLimits.megabytes),
            queue=int(queue or RequestLimits.queue),
        )
    except ValueError as error:
        raise ValueError(f"{MEGABYTES}={megabytes} {QUEUE}={queue}: {error}") from error


def run(app: "FastAPI", host: str, port: int, stop: Callable[[], None]) -> None:
    """Serve the application until Ctrl-C or SIGTERM, which calls `stop` at once."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            stop()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=SECONDS_TO_STOP
    )
    with suppress(KeyboardInterrupt):  # which comes once more when all is done
        Server(config).run()


def main() -> None:
    """Load the model that the command line names, and serve it."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.tracking.model_server", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--model", required=True, help="its address, as models:/<name>@<alias>")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=5001, help="default: %(default)s")
    options = parser.parse_args()
    limits = read_limits()

    import mlflow

    model = mlflow.pyfunc.load_model(options.model)
    from stages.tracking.model_app import ModelServer

    more = [name.strip() for name in os.environ.get(HOSTS, "").split(",") if name.strip()]
    server = ModelServer(model, limits, more)
    server.warm_up()
    run(server.app, options.host, options.port, server.stop)


if __name__ == "__main__":
    main()
