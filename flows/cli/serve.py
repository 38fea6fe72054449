"""`tsn serve`: the champion as a web service, and what requests may take of it."""

import os
from typing import Annotated

import typer

from flows.cli.frame import USE, Dataset, Port, chosen, command, work
from stages.tracking.model_server import MEGABYTES, QUEUE, RequestLimits
from tsn.recogniser.served_limits import DEFAULT_SECONDS, FRAMES, PIXELS, SECONDS
from tsn.streams.limits import DEFAULT_LIMITS


@command(USE, "tsn serve mine", "tsn serve mine --seconds 60 --megabytes 30")
def serve(
    dataset: Dataset = None,
    port: Port = 5001,
    megabytes: Annotated[
        float, typer.Option(min=0.001, envvar=MEGABYTES, help="Of a request.")
    ] = RequestLimits.megabytes,
    queue: Annotated[
        int, typer.Option(min=0, envvar=QUEUE, help="Requests that wait, beside one a core.")
    ] = RequestLimits.queue,
    seconds: Annotated[
        float, typer.Option(min=0.1, envvar=SECONDS, help="For all videos of a request.")
    ] = DEFAULT_SECONDS,
    pixels: Annotated[
        int, typer.Option(min=1, envvar=PIXELS, help="Of a frame.")
    ] = DEFAULT_LIMITS.pixels,
    frames: Annotated[
        int, typer.Option(min=1, envvar=FRAMES, help="Of a video.")
    ] = DEFAULT_LIMITS.frames,
) -> None:
    """Serve the champion as a web service, within limits, until Ctrl-C.

    A row that cannot be answered says why, and costs the others nothing. docs/own-videos.md has the
    format of the answers.
    """
    names = (MEGABYTES, QUEUE, SECONDS, PIXELS, FRAMES)
    limits = (megabytes, queue, seconds, pixels, frames)
    os.environ.update({name: str(limit) for name, limit in zip(names, limits, strict=True)})

    def main() -> None:
        from flows.server import serve_champion

        serve_champion(chosen(dataset), port)

    work("serve", main)
