"""Prefect's server behind a door of its own.

uvicorn --factory flows.processes.prefect_app:create_app
"""

from typing import cast

from stages.runtime.own_origin import Application, OwnOrigin


def create_app() -> OwnOrigin:
    """Return what `prefect server start` serves; requests of other sites do not reach it."""
    from prefect.server.api import server

    return OwnOrigin(cast(Application, server.create_app(final=True)))
