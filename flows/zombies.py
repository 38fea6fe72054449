"""Flow runs whose process was killed: the server marks them as crashed when they fall silent."""

from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows import HEARTBEAT_SECONDS

NAME = "killed runs are marked as crashed"
BEATS_MISSED = 3
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")


def mark_zombies(seconds: int = BEATS_MISSED * HEARTBEAT_SECONDS) -> None:
    """Tell the Prefect server to mark runs as crashed that were not heard of for so long.

    Runs of deployments are meant; they send a heartbeat (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`).
    May be called at every start.
    """
    wanted = Automation(
        name=NAME,
        description="A run that was killed cannot say so. The next one goes on where it stopped.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"no sign of life for {seconds} seconds",
                force=False,
            )
        ],
    )
    try:
        known = cast(Automation, Automation.read(name=NAME))  # a coroutine only within a loop
    except ValueError:
        wanted.create()
        return
    wanted.id = known.id
    wanted.update()
