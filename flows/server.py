"""What this machine serves until Ctrl-C: the MLflow UI, a recogniser, or all that schedules need.

`tsn server` is Prefect's server and a worker, and MLflow's server. It deploys the flows of
prefect.yaml to the work pool `tsn` first, so that the Prefect UI can start them and their
schedules, once switched on there, do. What dies is started again, and the next run goes on where
the killed one stopped. All of it listens on loopback only.
"""

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.processes.access import open_server
from flows.processes.programs import BINARIES, ProgramError, run_logged, run_program
from flows.processes.services import HOST, Services, require_free
from flows.processes.start import make_prefect_private
from stages.runtime import params
from stages.runtime.places import ARTIFACTS, LOGS, WORKSPACE_VARIABLE, mlflow_database
from stages.tracking import store, views

POOL = "tsn"
RUNS_PAGE = "#/experiments?workflowType=machine_learning"
# MLflow's workers for jobs of language models: nine processes that nobody here needs.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_ui(port: int) -> None:
    """Log what is finished, and serve the MLflow UI over the store that the pipeline logs to."""
    uri = store.tracking_uri().rstrip("/")
    if uri.startswith("http"):
        sync()
        print(f"this project logs to a server: {store.without_credentials(uri)}/{RUNS_PAGE}")
        return
    require_free(port, "--port")
    sync()
    with until_stopped(Path.cwd()) as services:
        start_mlflow(services, f"mlflow-ui-{port}", uri, port)
        server = f"http://{HOST}:{port}"
        services.wait_for(f"{server}/health")
        print("\n".join([*pages(server), "Ctrl-C stops it"]), flush=True)
        services.keep()


def sync() -> None:
    """Log what is finished, in a process of its own: what it loads takes 0.9 GB.

    What goes wrong with MLflow decides nothing, and is told there.
    """
    run_program([sys.executable, "-m", "stages.operate.sync"], Path.cwd())


def pages(server: str) -> list[str]:
    """Return the addresses of the datasets' pipeline runs, or that of all experiments."""
    found = []
    for dataset in params.active_datasets():
        query = f"experiments/get-by-name?experiment_name={dataset}"
        url = f"{server}/api/2.0/mlflow/{query}"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as said:
            experiment = json.load(said)["experiment"]["experiment_id"]
            found.append(f"{server}/{views.page(experiment)}")
    return found or [f"{server}/{RUNS_PAGE}"]


def start_mlflow(
    services: Services, name: str, uri: str, port: int, artifacts: str | None = None
) -> None:
    """Start an MLflow server over a store; with `artifacts` it takes files.

    The store's address may hold a password, so it is not in the command, which all users can read.
    """
    store.make_database_private(uri)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    own = [f"{HOST}:*", "localhost:*"]  # of any port: a tunnel may lead here
    command = ["mlflow", "server", "--host", HOST, "--port", f"{port}", "--workers", "1"]
    command += ["--allowed-hosts", ",".join(own)]
    command += ["--cors-allowed-origins", ",".join(f"http://{host}" for host in own)]
    more = [] if artifacts is None else ["--artifacts-destination", artifacts]
    services.start(name, [*command, *more])


def prefect_server(port: int) -> list[str]:
    """Return the command of a Prefect server: that of `prefect server start`, for its own pages."""
    command = ["uvicorn", "--factory", "flows.processes.prefect_app:create_app"]
    return [*command, "--log-level", "warning", "--host", HOST, "--port", f"{port}"]


def serve_champion(dataset: str, port: int) -> None:
    """Serve the champion of a dataset as a web service."""
    from stages.tracking import registry  # which loads PyTorch: the UI takes 0.7 GB less without

    champion = registry.find(dataset, registry.CHAMPION)
    if champion is None:
        raise registry.NotRegisteredError(
            f"{dataset} has no champion yet: `tsn promote {dataset}` makes the challenger one"
        )
    require_free(port, "--port")
    os.environ["MLFLOW_TRACKING_URI"] = store.tracking_uri()
    model = f"models:/{dataset}@{registry.CHAMPION}"
    if made := registry.made_by(champion):
        print(f"{champion} was made by {made}: the code that was registered with it serves it")
    command = ["python", "-m", "stages.tracking.model_server", "--host", HOST, "--port", f"{port}"]
    with until_stopped(Path.cwd()) as services:
        services.start(f"recogniser-{port}", [*command, "--model", model])
        print(f"starting {model} ...", flush=True)
        services.wait_for(f"http://{HOST}:{port}/ping")
        print(f"http://{HOST}:{port}/ is ready: put a video there. Or ask:\n{curl(port)}")
        print("Ctrl-C stops it", flush=True)
        services.keep()


def curl(port: int) -> str:
    """Return a command that asks the service which class a video shows."""
    return f"curl http://{HOST}:{port}/recognise -F video=@clip.mov"


def serve_all(prefect_port: int, mlflow_port: int) -> None:
    """Serve Prefect, a worker and MLflow, started in their order."""
    root = Path.cwd()
    with until_stopped(root) as services:
        _serve_all(services, root, prefect_port, mlflow_port)


def _serve_all(services: Services, root: Path, prefect_port: int, mlflow_port: int) -> None:
    if prefect_port == mlflow_port:
        raise ProgramError(f"port {mlflow_port} is Prefect's: choose another by --mlflow-port")
    require_free(prefect_port, "--port")
    require_free(mlflow_port, "--mlflow-port")
    prefect, mlflow = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    database, artifacts = mlflow_database(root), str(root / ARTIFACTS)
    secret = open_server(root, prefect_port)
    os.environ["MLFLOW_TRACKING_URI"] = mlflow
    os.environ[WORKSPACE_VARIABLE] = str(root)
    make_prefect_private()
    services.start("prefect-server", prefect_server(prefect_port))
    start_mlflow(services, "mlflow-server", database, mlflow_port, artifacts)
    print("starting the servers ...", flush=True)
    services.wait_for(f"{prefect}/api/health")
    services.wait_for(f"{mlflow}/health")
    deploy(root)
    services.start("prefect-worker", ["prefect", "worker", "start", "--pool", POOL])
    print(f"flows, runs, schedules   {prefect}/deployments")
    print(f"to log in there          paste what this prints: cat {secret.relative_to(root)}")
    print(f"training and results     {mlflow}/{RUNS_PAGE}")
    print(f"for tsn grid, tsn retrain  export PREFECT_API_URL={prefect}/api")
    print(f"for other programs       export PREFECT_API_AUTH_STRING=$(cat {secret})")
    print(f"what they say            {LOGS}/*.log\nCtrl-C stops all of it", flush=True)
    services.keep()


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


@contextmanager
def until_stopped(root: Path) -> Iterator[Services]:
    """Give services that end on Ctrl-C, and with this program."""
    os.environ.update(NO_JOBS)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services = Services(root)
    try:
        yield services
    except KeyboardInterrupt:
        print("stopping")
    finally:
        services.stop()
