"""server: Prefect's server and a worker, and MLflow's server, on this machine, until Ctrl-C.

Deploys the flows of prefect.yaml to the work pool `tsn` first, so that the Prefect UI can start
them and their schedules, once switched on there, do. What dies is started again, and the next run
goes on where the killed one stopped. All of it listens on loopback only.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from flows.processes.programs import BINARIES, ProgramError, run_logged
from stages.runtime.places import LOGS, mlflow_database

HOST = "127.0.0.1"
POOL = "tsn"
START_SECONDS = 180.0
# When a program ends more often than that in so many seconds, all are stopped.
OFTEN = 8
OFTEN_SECONDS = 600.0
PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0


class Services:
    """Programs that run together; one that ends is started again, one that goes on so ends all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(8)
        self._commands: dict[str, Sequence[str]] = {}
        self._running: dict[Future[int], str] = {}
        self._ends: dict[str, list[float]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start one; what it prints goes to `.tsn/logs/<name>.log`."""
        self._commands[name] = [str(BINARIES / command[0]), *command[1:]]
        self._log(name).unlink(missing_ok=True)
        self._submit(name)

    def _submit(self, name: str, pause: float = 0.0) -> None:
        self._running[self._threads.submit(self._run, name, pause)] = name

    def _run(self, name: str, pause: float) -> int:
        self._stop.wait(pause)
        command, log = self._commands[name], self._log(name)
        return run_logged(command, self._root, log, append=True, stop=self._stop)[0]

    def _log(self, name: str) -> Path:
        return self._root / LOGS / f"{name}.log"

    def wait_for(self, url: str) -> None:
        """Return when the address answers; ProgramError when a program ends before it does."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, code in self._ended(0.5):
                raise self._error(name, code)
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                continue
        raise ProgramError(f"{url} did not answer in {START_SECONDS:.0f} s")

    def keep(self) -> None:
        """Start again whatever ends; ProgramError when that happens too often to be of use."""
        while True:
            for name, code in self._ended(3600.0):
                now = time.monotonic()
                recent = [end for end in self._ends.get(name, []) if end > now - OFTEN_SECONDS]
                self._ends[name] = [*recent, now]
                if len(self._ends[name]) > OFTEN:
                    raise self._error(name, code)
                print(f"the {name} ended with {code}: starting it again", flush=True)
                # What it needs may have ended with it, and takes its time to come back.
                pause = min(PAUSE_SECONDS * 2 ** len(recent), LONGEST_PAUSE_SECONDS)
                self._submit(name, pause)

    def _ended(self, seconds: float) -> Iterator[tuple[str, int]]:
        """Yield name and exit code of what has ended, after a wait of so long for the first."""
        for future in wait(self._running, seconds, FIRST_COMPLETED).done:
            yield self._running.pop(future), future.result()

    def _error(self, name: str, code: int) -> ProgramError:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "nothing"
        return ProgramError(
            f"the {name} ended with {code}; it said last: {said}\n({self._log(name)})"
        )

    def stop(self) -> None:
        """End all of them and wait until they are gone."""
        self._stop.set()
        self._threads.shutdown()


def deploy(root: Path) -> None:
    """Make the flows of prefect.yaml known to the server, and that killed runs are noticed.

    Schedules that were switched on or off before stay so.
    """
    from prefect.client.orchestration import get_client  # with PREFECT_API_URL as it is by now
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    from flows.zombies import mark_zombies

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(POOL)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        switched = {
            (row.name, str(schedule.schedule)): schedule.active
            for row in client.read_deployments()
            for schedule in row.schedules
        }
        run_prefect_deploy(root)
        for row in client.read_deployments():
            for schedule in row.schedules:
                active = switched.get((row.name, str(schedule.schedule)), schedule.active)
                if active != schedule.active:  # deploying forgets what was switched in the UI
                    client.update_deployment_schedule(row.id, schedule.id, active=active)
    mark_zombies()


def run_prefect_deploy(root: Path) -> None:
    """Run `prefect deploy --all`; ProgramError with its words when it fails."""
    command = [str(BINARIES / "prefect"), "--no-prompt", "deploy", "--all"]
    code, text = run_logged(command, root, root / LOGS / "deploy.log")
    if code != 0:
        raise ProgramError(f"prefect deploy --all failed:\n{text}")


def require_free(port: int, option: str) -> None:
    """Raise ProgramError if something listens on the port: what answers there would not be ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ProgramError(
                f"port {port} is taken: stop what listens there, or choose another by {option}"
            ) from error


def serve(services: Services, root: Path, prefect_port: int, mlflow_port: int) -> None:
    """Start everything in its order and stay."""
    require_free(prefect_port, "--prefect-port")
    require_free(mlflow_port, "--mlflow-port")
    prefect, mlflow = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    store, artifacts = mlflow_database(root), root / "mlartifacts"
    os.environ["PREFECT_API_URL"] = f"{prefect}/api"
    os.environ["MLFLOW_TRACKING_URI"] = mlflow
    os.environ["TSN_WORKSPACE"] = str(root)
    services.start(
        "prefect-server",
        ["prefect", "server", "start", "--host", HOST, "--port", f"{prefect_port}"],
    )
    services.start(
        "mlflow-server",
        [
            *("mlflow", "server", "--host", HOST, "--port", f"{mlflow_port}", "--workers", "1"),
            *("--backend-store-uri", store, "--artifacts-destination", str(artifacts)),
        ],
    )
    print("starting the servers ...", flush=True)
    services.wait_for(f"{prefect}/api/health")
    services.wait_for(f"{mlflow}/health")
    deploy(root)
    services.start("prefect-worker", ["prefect", "worker", "start", "--pool", POOL])
    print(f"flows, runs, schedules   {prefect}/deployments")
    print(f"training and results     {mlflow}/#/experiments?workflowType=machine_learning")
    print(f"for other programs       export PREFECT_API_URL={prefect}/api")
    print(f"what they say            {LOGS}/*.log\nCtrl-C stops all of it", flush=True)
    services.keep()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prefect-port", type=int, default=4200, help="default: 4200")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="default: 5000")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    root = Path.cwd()
    services = Services(root)
    try:
        serve(services, root, arguments.prefect_port, arguments.mlflow_port)
    except KeyboardInterrupt:
        print("stopping")
    except ProgramError as error:
        sys.exit(f"server: {error}")
    finally:
        services.stop()


if __name__ == "__main__":
    main()
