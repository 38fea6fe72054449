"""The train stage in several processes, by its command line: what it writes and how it ends."""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_configs
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from torch import Tensor
from workspace import ROOT, warm

from stages import train
from stages.reporting.figures.training_curves import draw_training_curves
from stages.runtime import torchrun
from stages.runtime.machine import Machine
from tsn.files import write_csv
from tsn.lists import COLUMNS, write_names
from tsn.model.backbones import backbone
from tsn.model.checkpoint import save_initial
from tsn.model.initialisation import Source

SECONDS = 120.0  # against hanging
ITERATIONS = 16
RECIPE = "recipes/synthetic.yaml"
MACHINE = Machine(device="cpu", processes=8, threads=1, workers=0, checkpoint_seconds=60.0)
SOLVER = replace(
    small_configs.SOLVER, iterations=1, batch_size=6, micro_batch=2, weight_decay=0.0, clip_norm=1.0
)


# -- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("lent", "taken", "told"), [(1, 1, ""), (3, 3, ""), (8, 3, "3 of 8")])
def test_training_takes_no_more_processes_than_it_has_parts(
    capsys: pytest.CaptureFixture[str], lent: int, taken: int, told: str
) -> None:
    machine = replace(MACHINE, processes=lent)
    assert torchrun.processes_of(machine, SOLVER, "train it") == taken
    said = capsys.readouterr().out
    assert said.startswith(f"train it: {told} processes, since a batch of 6 has 3") == bool(told)


def test_process_whose_agent_is_gone_before_it_looks_ends() -> None:
    program = (
        "import time; from stages.runtime import torchrun; torchrun.SECONDS_TO_CLEAN_UP = 0.0; "
        "torchrun._end_with_agent(); time.sleep(600)"
    )
    gone = {**os.environ, torchrun.AGENT: "1" if os.getpid() != 1 else "2"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=gone, timeout=SECONDS)
    assert done.returncode == 1


# -- the stage ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable[..., Path]) -> Path:
    """What the train stage reads of a dataset of three classes."""
    folder = tmp_path_factory.mktemp("inputs")
    generator = np.random.default_rng(1)
    videos = {
        f"{name}/v_{name}_g01_c01.avi": generator.integers(0, 256, (8, 40, 48, 3), dtype=np.uint8)
        for name in "abc"
    }
    write_stream(folder / "rgb", videos)
    rows = ((video, label, "g", "") for label, video in enumerate(videos))
    write_csv(folder / "train.csv", COLUMNS, rows)
    write_names(folder / "classes.txt", "abc")
    weights = backbone("bn_inception_quarter").build(3).state_dict()
    save_initial(
        folder / "init", "pretext", "bn_inception_quarter", {"rgb": Source(backbone=weights)}
    )
    return folder


def workspace(folder: Path, inputs: Path, *, processes: int, **solver: object) -> Path:
    """A project with the inputs and the synthetic recipe at its smallest."""
    shutil.copytree(inputs, folder)
    yaml = YAML(typ="safe", pure=True)
    params, recipe = (yaml.load(ROOT / name) for name in ("params.yaml", RECIPE))
    params["machine"] = {**asdict(MACHINE), "processes": processes, "checkpoint_seconds": 0.0}
    row = recipe["train"]["rgb"]
    row["input_size"] = 32
    row["network"].update(partial_bn=True, num_segments=2)
    row["solver"].update(batch_size=6, micro_batch=2, lr_steps=[], base_lr=0.001)
    row["solver"].update(solver)
    (folder / "recipes").mkdir()
    yaml.dump(params, folder / "params.yaml")
    yaml.dump(recipe, folder / RECIPE)
    return folder


def paths(folder: Path) -> dict[str, Path]:
    """The stage's paths by option, absolute, so that its processes can be found."""
    names = {"classes": "classes.txt", "list": "train.csv", "stream": "rgb", "init": "init"}
    names |= {"out": "out", "log": "log.csv"}
    return {option: folder / name for option, name in names.items()}


def tracking_environment(folder: Path, tracking: str) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "TSN_TRACKING": tracking,
    }


def options(folder: Path) -> list[str]:
    words = ["--dataset", "synthetic", "--split", "1", "--modality", "rgb"]
    return words + [word for row in paths(folder).items() for word in (f"--{row[0]}", f"{row[1]}")]


def start(
    folder: Path, *program: str, tracking: str = "off", python: str | Path = sys.executable
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", *(program or ["stages.train"]), *options(folder)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **tracking_environment(folder, tracking),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=SECONDS)
    return process.returncode, out, errors


def run(folder: Path, *program: str, tracking: str = "off") -> str:
    process = start(folder, *program, tracking=tracking, python=warm() / "python")
    code, out, errors = finish(process)
    assert code == 0, errors
    assert not (folder / ".tsn/progress/synthetic-1-rgb").exists()
    assert processes_in(folder) == {}
    return out


def processes_in(folder: Path) -> dict[int, int | None]:
    """The live processes whose command line names the folder: pid -> rank, None for an agent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            variables = dict(
                line.partition("=")[::2]
                for line in (path / "environ").read_text(errors="replace").split("\0")
            )
        except OSError:  # it has ended
            continue
        if str(folder).encode() in words:
            found[int(path.name)] = int(variables["RANK"]) if "RANK" in variables else None
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def assert_same_training(one: Path, other: Path) -> None:
    """The same files, with the same numbers to float tolerance."""
    assert sorted(p.name for p in (one / "out").iterdir()) == sorted(
        p.name for p in (other / "out").iterdir()
    )
    for name in ("weights.json", "inputs.png"):
        assert (one / "out" / name).read_bytes() == (other / "out" / name).read_bytes()
    logs = [pd.read_csv(folder / "log.csv") for folder in (one, other)]
    pd.testing.assert_frame_equal(*logs, rtol=1e-3)
    state, other_state = weights(one), weights(other)
    assert state.keys() == other_state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(other_state[name], tensor, rtol=1e-3, atol=1e-4)


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "out/weights.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, inputs: Path) -> Path:
    folder = workspace(
        tmp_path_factory.mktemp("alone") / "w", inputs, processes=1, iterations=ITERATIONS
    )
    run(folder)
    return folder


@pytest.mark.slow
def test_no_iterations_take_a_checkpoint_as_it_is(
    inputs: Path, tmp_path: Path, created_database: bytes
) -> None:
    folder = workspace(tmp_path / "w", inputs, processes=1, iterations=0)
    (folder / "mlflow.db").write_bytes(created_database)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        for name, value in tracking_environment(folder, "on").items():
            patch.setenv(name, value)
        train.main(train.Options(dataset="synthetic", split=1, modality="rgb", **paths(folder)))
    out = printed.getvalue()
    assert "no iterations, the network is what it starts as" in out
    start = load_file(folder / "init/rgb.safetensors")
    state = weights(folder)
    assert all(torch.equal(state[name], tensor) for name, tensor in start.items())
    log = pd.read_csv(folder / "log.csv")
    assert log.empty and "loss" in log
    draw_training_curves({"rgb": log}, tmp_path / "curves.png")


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m", "--")


def sync(folder: Path) -> None:
    """Log the training, which may have been too short to log itself."""
    trained = shlex.join(["python", "-m", "stages.train", *options(folder)])
    done = subprocess.run(
        [warm() / "python", "-m", "stages.operate.sync", "--also", trained],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DVC_STAGE": "train",
            **tracking_environment(folder, "on"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_write_what_one_writes(
    alone: Path, inputs: Path, tmp_path: Path, created_database: bytes
) -> None:
    from mlflow import MlflowClient

    folder = workspace(tmp_path / "w", inputs, processes=2, iterations=ITERATIONS)
    (folder / "mlflow.db").write_bytes(created_database)
    out = run(folder, tracking="on")
    sync(folder)
    assert out.count(f"train synthetic split 1 rgb: {ITERATIONS} iterations") == 1
    assert_same_training(alone, folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("synthetic")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["machine.processes"] == "2"
    points = client.get_metric_history(logged.info.run_id, "train/loss")
    assert [point.step for point in points] == list(range(ITERATIONS))


@pytest.mark.slow
def test_torchrun_by_hand_writes_what_one_writes(alone: Path, inputs: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", inputs, processes=1, iterations=ITERATIONS)
    run(folder, *TORCHRUN, "stages.train")
    assert_same_training(alone, folder)


@pytest.fixture
def training(inputs: Path, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A training in two processes that has saved something and has long to go."""
    folder = workspace(tmp_path / "w", inputs, processes=2, iterations=ITERATIONS)
    process = start(folder)
    try:
        progress = folder / ".tsn/progress/synthetic-1-rgb"
        wait_for(lambda: list(progress.glob("*.safetensors")), "it never trained")
        assert sorted(r for r in processes_in(folder).values() if r is not None) == [0, 1]
        yield folder, process
    finally:
        process.kill()
        process.communicate()
        for pid in processes_in(folder):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_ends_all_and_one_process_goes_on(
    training: tuple[Path, subprocess.Popen[str]], alone: Path, rank: int
) -> None:
    folder, process = training
    (victim,) = (pid for pid, number in processes_in(folder).items() if number == rank)
    os.kill(victim, signal.SIGKILL)
    code, _, errors = finish(process)
    assert code == 1
    assert f"train: process {rank} was killed by SIGKILL, as by the kernel when" in errors
    wait_for(lambda: not processes_in(folder), "a process is left")
    edit_processes(folder, 1)
    out = run(folder)
    assert "going on after iteration" in out
    assert_same_training(alone, folder)


def edit_processes(folder: Path, processes: int) -> None:
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("processes: 2", f"processes: {processes}"))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_end_of_the_command_ends_its_processes(
    training: tuple[Path, subprocess.Popen[str]], sent: signal.Signals
) -> None:
    folder, process = training
    process.send_signal(sent)
    code, _, errors = finish(process)
    assert code == (-sent if sent == signal.SIGKILL else 128 + sent)
    assert "Traceback" not in errors
    wait_for(lambda: not processes_in(folder), "a process is left")


@pytest.mark.slow
def test_error_that_all_processes_find_is_told_once(inputs: Path, tmp_path: Path) -> None:
    folder = workspace(tmp_path / "w", inputs, processes=2, iterations=5, base_lr=1e30)
    code, _, errors = finish(start(folder))
    assert code == 1
    assert errors.count("the gradient is not finite") == 1
    assert "Traceback" not in errors
    assert processes_in(folder) == {}
