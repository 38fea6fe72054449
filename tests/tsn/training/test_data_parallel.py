"""A training in several processes is the one in one process, but for the order of float sums."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import small_configs
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Dataset

from tsn.model.network import build_network
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.data_parallel import ALONE, Share, agree_on_start, summed
from tsn.training.settings import TrainingConfig
from tsn.training.solver import make_optimizer, micro_batches, solve
from tsn.training.start import network_training

CPU = torch.device("cpu")
SECONDS = 60.0  # against hanging: what is waited for takes a few
CLIP_NORM = 0.3  # below every gradient's: what is clipped has to be the whole
SOLVER = replace(
    small_configs.SOLVER, batch_size=15, micro_batch=3, lr_steps=(2,), clip_norm=CLIP_NORM
)


def in_processes(processes: int, folder: Path, work: Callable[..., Any], *args: Any) -> list[Any]:
    """What work(share, *args) gives in each of so many processes; None where one has ended.

    They are forked off a process that has imported what takes long, and done nothing else.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["pytest", "torch.distributed", "torch.utils.data", "cv2"])
    shares = [Share(rank=rank, processes=processes) for rank in range(processes)]
    group = [server.Process(target=member, args=(share, folder, work, *args)) for share in shares]
    for process in group:
        process.start()
    for process in group:
        process.join(2 * SECONDS)
        assert process.exitcode is not None, "it hangs"
    found = [folder / f"{share.rank}.pt" for share in shares]
    return [torch.load(path, weights_only=False) if path.exists() else None for path in found]


def member(share: Share, folder: Path, work: Callable[..., Any], *args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=share.rank,
        world_size=share.processes,
        timeout=timedelta(seconds=SECONDS),
    )
    torch.save(work(share, *args), folder / f"{share.rank}.pt")
    dist.destroy_process_group()


# -- shares -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        (1, [[0]]),
        (4, [[0, 1], [2, 3]]),
        (4, [[0], [1], [2, 3]]),
        (5, [[0, 1], [2, 3, 4]]),
        (3, [[0], [1], [2]]),
    ],
)
def test_micro_batches_are_dealt_out_in_runs(parts: int, shares: list[list[int]]) -> None:
    dealt = [Share(rank=rank, processes=len(shares)) for rank in range(len(shares))]
    assert [list(share.micro_batches(parts)) for share in dealt] == shares


def test_process_without_a_micro_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="5 processes, but an iteration has 4 micro-batches"):
        Share(rank=0, processes=5).micro_batches(4)


# -- a small network, in double precision -------------------------------------------------------


class Images(Dataset[tuple[Tensor, int]]):
    """An endless stream of random images, item i a function of i."""

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(2, 5, 5, generator=generator, dtype=torch.float64), position % 3


def small_network() -> nn.Module:
    """Two layers with statistics that are learned at different speeds, and one that is frozen."""
    torch.manual_seed(0)
    frozen = nn.BatchNorm2d(4)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        frozen,
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4, momentum=0.3),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4, 3),
    )
    frozen.eval()
    return network.double()


Trained = tuple[list[dict[str, float]], dict[str, Tensor]]


def train_small(share: Share) -> Trained:
    network = small_network()
    group = {"params": list(network.parameters()), "lr_mult": 1.0, "decay_mult": 1.0}
    inputs = micro_batches(Images(), SOLVER, device=CPU, workers=0, start=0, share=share)
    steps = solve(
        network, make_optimizer([group], SOLVER), inputs, SOLVER, seed=3, start=0, share=share
    )
    return [vars(step.read()) for step in steps], network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_do_what_one_accumulates(processes: int, tmp_path: Path) -> None:
    """Losses, weights and running statistics; five micro-batches are dealt out unevenly, too."""
    log, state = train_small(ALONE)
    for other_log, other_state in in_processes(processes, tmp_path, train_small):
        for one, other in zip(log, other_log, strict=True):
            assert other == pytest.approx(one, rel=1e-6)  # losses are added in single precision
        for name, tensor in state.items():
            torch.testing.assert_close(other_state[name], tensor, rtol=1e-10, atol=1e-12)
    assert state["1.num_batches_tracked"] == 4 * 5
    assert state["3.num_batches_tracked"] == 0


@pytest.mark.slow
def test_processes_hold_the_same_bits_and_find_them_again(tmp_path: Path) -> None:
    outcomes = []
    for attempt in ("first", "second"):
        (tmp_path / attempt).mkdir()
        outcomes += in_processes(2, tmp_path / attempt, train_small)
    for log, state in outcomes[1:]:
        assert log == outcomes[0][0]
        assert all(torch.equal(state[name], tensor) for name, tensor in outcomes[0][1].items())


def test_unknown_rule_of_running_statistics_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm2d(4, momentum=None))
    share = Share(rank=0, processes=2)
    with (
        pytest.raises(ValueError, match="0: several processes can keep the running statistics of"),
        summed(network, [], torch.zeros(2, 2), share),
    ):
        pytest.fail("the block must not run")


# -- the network itself -------------------------------------------------------------------------


def train_tiny(share: Share, config: TrainingConfig, snippets: TrainingSnippets) -> Trained:
    network = build_network(
        config.network,
        in_channels=10,
        num_classes=3,
        generator=torch.Generator().manual_seed(config.seed),
    )
    training = network_training(network, snippets, config, device=CPU, workers=0, share=share)
    return [vars(step) for step in training.iterate(0)], network.state_dict()


@pytest.mark.slow
def test_two_processes_train_the_network_of_one(
    tiny_training: TrainingConfig, tiny_snippets: TrainingSnippets, tmp_path: Path
) -> None:
    solver = replace(tiny_training.solver, batch_size=3)
    config = replace(tiny_training, solver=solver)
    log, state = train_tiny(ALONE, config, tiny_snippets)
    for other_log, other_state in in_processes(2, tmp_path, train_tiny, config, tiny_snippets):
        for one, other in zip(log, other_log, strict=True):
            assert other == pytest.approx(one, rel=1e-3)
        for name, tensor in state.items():
            torch.testing.assert_close(other_state[name], tensor, rtol=1e-3, atol=1e-4)


# -- what goes wrong ----------------------------------------------------------------------------


def start_at(share: Share, starts: list[int]) -> str:
    try:
        agree_on_start(starts[share.rank], share, CPU)
    except ValueError as error:
        return str(error)
    return "agreed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "answer"), [([7, 7], "agreed"), ([7, 0], "this training start at iterations [7, 0]")]
)
def test_processes_start_together(starts: list[int], answer: str, tmp_path: Path) -> None:
    for found in in_processes(2, tmp_path, start_at, starts):
        assert answer in found


def lose_one(share: Share) -> str:
    agree_on_start(0, share, CPU)
    if share.rank == 1:
        raise SystemExit(1)
    try:
        agree_on_start(0, share, CPU)
    except ConnectionError as error:
        return str(error)
    return "did not notice"


@pytest.mark.slow
def test_end_of_another_process_is_noticed(tmp_path: Path) -> None:
    first, second = in_processes(2, tmp_path, lose_one)
    assert first.startswith("another process of this training has ended or does not answer")
    assert second is None
