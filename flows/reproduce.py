"""The chain as a Prefect flow: `dvc repro` as a job that Prefect starts and watches.

DVC stays the only truth about what is done, so a repeated flow goes on where the last one stopped.
`python -m flows.reproduce` runs it here; with `--cron` it stays and runs on schedule.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL

GRACE_SECONDS = 10.0


class ReproError(RuntimeError):
    """`dvc repro` did not end well."""


def run_dvc(arguments: Sequence[str], workspace: Path) -> None:
    """Runs dvc in the workspace with this environment's python; ReproError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [binaries / "dvc", "--wait-for-lock", *arguments],
        cwd=workspace,
        env=environment,
        start_new_session=True,
    )
    try:
        code = process.wait()
    except BaseException:
        _stop(process)
        raise
    if code != 0:
        raise ReproError(
            f"dvc {' '.join(arguments)} exited with {code}; the failed stage says why above. "
            "What finished is kept: run it again"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C for the whole group, as dvc releases its locks on that, then harder."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, stop)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def run_stage(name: str, workspace: Path) -> None:
    """Runs `python -m stages.<name>` in the workspace; ReproError unless it succeeds."""
    done = subprocess.run([sys.executable, "-m", f"stages.{name}"], cwd=workspace)
    if done.returncode != 0:
        raise ReproError(f"stages.{name} exited with {done.returncode}; it says why above")


@task(cache_policy=NO_CACHE, persist_result=False)
def repro(targets: Sequence[str], workspace: Path) -> None:
    """What `make repro` runs, for the targets, or for everything when there are none."""
    get_run_logger().info("dvc repro %s in %s", " ".join(targets), workspace)
    run_stage("check", workspace)
    run_dvc(["repro", *targets], workspace)
    run_stage("sync", workspace)


@flow(name="reproduce")
def reproduce(targets: Sequence[str] = (), workspace: Path = Path()) -> None:
    """Brings the workspace's results up to date."""
    repro(list(targets), workspace.resolve())


def main() -> None:
    """Once, or on a schedule."""
    parser = argparse.ArgumentParser(prog="reproduce", description=__doc__)
    parser.add_argument("targets", nargs="*", help="DVC stages; none means all")
    parser.add_argument("--cron", help='schedule, e.g. "0 3 * * *"; needs `prefect server start`')
    arguments = parser.parse_args()
    if arguments.cron:
        if PREFECT_API_URL.value() is None:
            parser.error(
                "a schedule needs a server: start `prefect server start` and set "
                "PREFECT_API_URL=http://127.0.0.1:4200/api"
            )
        reproduce.serve(
            name="scheduled",
            cron=arguments.cron,
            limit=1,
            parameters={"targets": arguments.targets},
        )
        return
    try:
        reproduce(arguments.targets)
    except ReproError as error:
        sys.exit(f"reproduce: {error}")


if __name__ == "__main__":
    main()
