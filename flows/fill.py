"""Extraction on many machines: a dataset's videos in shards, each a flow run of its own.

`python -m flows.fill --dataset ucf101 --modality flow --shards 8 --pool gpus` puts eight flow runs
on the work pool `gpus`, where the workers of any number of machines take them
(`prefect worker start --pool gpus`, in a checkout of this commit at the same path, with the videos
and one store: see `stages/operate/fill.py`), and waits for them. Without `--pool` the shards run
here, one after another. A shard that failed is run again by running all: what is in the store is
not computed again. Then `dvc repro` assembles the stream in seconds.
"""

import argparse
import sys
from pathlib import Path

from prefect import flow, get_run_logger, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL

from flows.processes.programs import ProgramError, run_stage

ROOT = Path(__file__).resolve().parents[1]


@flow(name="fill-shard", flow_run_name="{dataset} {modality} {shard}")
def fill_shard(dataset: str, modality: str, shard: str, workspace: Path = Path()) -> None:
    """Computes shard `i/n` of a dataset's stream into the workspace's store."""
    run_stage(
        "fill",
        workspace.resolve(),
        [
            *("--dataset", dataset, "--modality", modality, "--shard", shard),
            *("--videos", f"data/{dataset}/videos"),
            *("--list", f"data/{dataset}/splits/videos.txt"),
        ],
    )


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="shard {shard}")
def on_pool(deployment: str, dataset: str, modality: str, shard: str) -> None:
    """Waits for one shard's flow run on the pool; raises when it did not complete."""
    run = run_deployment(
        deployment, parameters={"dataset": dataset, "modality": modality, "shard": shard}
    )
    if not run.state.is_completed():  # type: ignore[union-attr]
        raise ProgramError(f"shard {shard} of {dataset} {modality} ended as {run.state.name}")  # type: ignore[union-attr]


@flow(name="fill", flow_run_name="{dataset} {modality} in {shards} shards")
def fill(dataset: str, modality: str, shards: int, deployment: str | None = None) -> None:
    """Maps the shards of a stream onto a deployment of `fill_shard`, or runs them here."""
    if shards < 1:
        raise ValueError(f"shards is {shards}, expected at least 1")
    names = [f"{index}/{shards}" for index in range(1, shards + 1)]
    if deployment is None:
        for name in names:
            fill_shard(dataset, modality, name)
        return
    get_run_logger().info("%d shards wait for workers of %s", shards, deployment)
    on_pool.map(unmapped(deployment), unmapped(dataset), unmapped(modality), names).result()


def deploy(pool: str) -> str:
    """Makes `fill_shard` known to a work pool, as it is in this checkout; returns its name."""
    source = fill_shard.from_source(source=str(ROOT), entrypoint="flows/fill.py:fill_shard")
    source.deploy(  # type: ignore[union-attr]
        name=pool, work_pool_name=pool, build=False, push=False, print_next_steps=False
    )
    return f"fill-shard/{pool}"


def main() -> None:
    """Fills the store, here or on a pool."""
    parser = argparse.ArgumentParser(
        prog="fill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--shards", type=int, default=1, help="how many shares (default 1)")
    parser.add_argument("--pool", help="a work pool of type process; it needs a Prefect server")
    arguments = parser.parse_args()
    if arguments.pool and PREFECT_API_URL.value() is None:
        parser.error(
            "a pool needs a server: start `prefect server start`, set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, and make the pool: "
            f"prefect work-pool create {arguments.pool} --type process"
        )
    try:
        deployment = deploy(arguments.pool) if arguments.pool else None
        fill(arguments.dataset, arguments.modality, arguments.shards, deployment)
    except (ProgramError, ValueError) as error:
        sys.exit(f"fill: {error}")


if __name__ == "__main__":
    main()
