"""The solver by hand on networks of a few numbers, and its promises on small random ones."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import small_configs
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tsn.training.settings import SolverConfig
from tsn.training.sgd import SGD
from tsn.training.solver import (
    Iteration,
    learning_rate,
    make_optimizer,
    micro_batches,
    solve,
)

CPU = torch.device("cpu")
SOLVER = replace(
    small_configs.SOLVER, iterations=2, batch_size=1, lr_steps=(1,), weight_decay=0.0, clip_norm=1e9
)


def linear(weight: list[list[float]], *, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias:
            layer.bias.zero_()
    return layer


def optimizer_of(network: nn.Module, solver: SolverConfig) -> SGD:
    group = {"params": list(network.parameters()), "lr_mult": 1.0, "decay_mult": 1.0}
    return make_optimizer([group], solver)


def always(x: list[float], label: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield torch.tensor([x]), torch.tensor([label])


def run(
    network: nn.Module,
    inputs: Iterator[tuple[Tensor, Tensor]],
    solver: SolverConfig,
    optimizer: SGD | None = None,
) -> list[Iteration]:
    optimizer = optimizer or optimizer_of(network, solver)
    return [step.read() for step in solve(network, optimizer, inputs, solver, seed=1, start=0)]


# -- the step -----------------------------------------------------------------------------------


def test_two_steps_with_momentum_and_schedule_by_hand() -> None:
    """Two classes, one input of 1, weights 0: p = 1/2, the gradient of label 0 is (-1/2, 1/2)."""
    network = linear([[0.0], [0.0]])
    first, second = run(network, always([1.0]), SOLVER)
    assert first == Iteration(
        0,
        pytest.approx(math.log(2)),
        1.0,
        0.1,
        pytest.approx(math.sqrt(0.5)),  # of equal scores the first class is predicted
    )
    p = 1 / (1 + math.exp(-0.1))  # the weights are (0.05, -0.05) now
    velocity = 0.9 * 0.5 + (1 - p)
    assert second.loss == pytest.approx(-math.log(p))
    assert second.lr == pytest.approx(0.01)
    expected = 0.05 + 0.01 * velocity
    torch.testing.assert_close(network.weight.flatten(), torch.tensor([expected, -expected]))


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 0.001), (1499, 0.001), (1500, 1e-4), (2999, 1e-4), (3000, 1e-5), (3499, 1e-5)],
)
def test_learning_rate_of_the_released_ucf101_rgb_solver(iteration: int, rate: float) -> None:
    solver = replace(SOLVER, iterations=3500, base_lr=0.001, lr_steps=(1500, 3000))
    assert learning_rate(iteration, solver) == pytest.approx(rate)


def test_learning_rate_without_steps_is_constant() -> None:
    solver = replace(SOLVER, lr_steps=())
    assert {learning_rate(i, solver) for i in range(10)} == {0.1}


def test_groups_move_and_decay_by_their_multipliers() -> None:
    """Inputs of 0 leave weights without gradient: they only decay. Biases get (-1/2, 1/2)."""
    network = nn.Sequential(linear([[1.0], [1.0]], bias=True))
    solver = replace(SOLVER, iterations=1, lr_steps=(), weight_decay=0.01)
    groups = [
        {"params": [network[0].weight], "lr_mult": 5.0, "decay_mult": 2.0},
        {"params": [network[0].bias], "lr_mult": 2.0, "decay_mult": 0.0},
    ]
    optimizer = make_optimizer(groups, solver)
    run(network, always([0.0]), solver, optimizer)
    torch.testing.assert_close(
        network[0].weight.flatten(), torch.full((2,), 1 - 5 * 0.1 * 2 * 0.01)
    )
    torch.testing.assert_close(network[0].bias, torch.tensor([0.1, -0.1]))  # 2 x 0.1 x 1/2


@pytest.mark.parametrize("clip_norm", [0.5, 20.0])
def test_clipped_step_is_as_long_as_rate_times_norm(clip_norm: float) -> None:
    network = linear([[0.0] * 3] * 4)
    solver = replace(SOLVER, iterations=1, lr_steps=(), clip_norm=clip_norm)
    (step,) = run(network, always([1000.0, -2000.0, 500.0]), solver)
    assert step.gradient_norm > 100 * clip_norm / 20  # reported as it was before clipping
    assert network.weight.norm().item() == pytest.approx(0.1 * clip_norm, rel=1e-4)


def test_gradient_below_the_norm_is_left_alone() -> None:
    outcomes = []
    for clip_norm in (10.0, 1e9):
        network = linear([[0.0], [0.0]])
        run(network, always([1.0]), replace(SOLVER, clip_norm=clip_norm))
        outcomes.append(network.weight.clone())
    assert torch.equal(*outcomes)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_gradient_that_is_not_finite_stops_before_the_step(value: float) -> None:
    network = linear([[0.25], [0.5]])
    with pytest.raises(FloatingPointError, match="iteration 0: the gradient is not finite"):
        run(network, always([value]), SOLVER)
    assert network.weight.flatten().tolist() == [0.25, 0.5]


def test_bfloat16_is_near_and_keeps_the_weights_in_float32() -> None:
    """An input that bfloat16 rounds, by a thousandth and more, gives a loss that is so far off."""
    trained, losses = [], []
    for precision in ("float32", "bfloat16", "auto"):  # which is float32 on the CPU
        network = linear([[0.3], [0.6]])
        steps = solve(
            *(network, optimizer_of(network, SOLVER), always([1.01]), SOLVER),
            seed=1,
            start=0,
            precision=precision,
        )
        losses.append([step.read().loss for step in steps])
        trained.append(network.weight)
    assert losses[0] == losses[2] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert {weight.dtype for weight in trained} == {torch.float32}


# -- accumulation -------------------------------------------------------------------------------


class Points(Dataset[tuple[Tensor, int]]):
    """An endless stream of random points, item i a function of i."""

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(position)
        return torch.randn(6, generator=generator), position % 3


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_accumulated_batch_is_the_big_batch(micro_batch: int) -> None:
    whole = replace(SOLVER, iterations=3, batch_size=8, micro_batch=8, clip_norm=0.3)
    logs, networks = [], []
    for solver in (whole, replace(whole, micro_batch=micro_batch)):
        network = small_network()
        inputs = micro_batches(Points(), solver, device=CPU, workers=0, start=0)
        logs.append(run(network, inputs, solver))
        networks.append(network.state_dict())
    for one, other in zip(*logs, strict=True):
        assert vars(one) == pytest.approx(vars(other), rel=1e-4)
    for name, tensor in networks[0].items():
        torch.testing.assert_close(networks[1][name], tensor, rtol=1e-4, atol=1e-6)


def test_compiled_network_trains_as_it_is_and_ends_uncompiled() -> None:
    """What watches the last iteration are hooks, which compiled code would not call."""
    solver = replace(SOLVER, iterations=3, batch_size=4, micro_batch=2)
    calls: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        def call(*values: Tensor) -> object:
            calls.append(len(values))
            return graph.forward(*values)

        return call

    logs, weights = [], []
    for compiled in (False, True):
        network = small_network()
        if compiled:
            network.compile(backend=backend)  # type: ignore[no-untyped-call]
        inputs = micro_batches(Points(), solver, device=CPU, workers=0, start=0)
        logs.append(run(network, inputs, solver))
        weights.append(network.state_dict())
    assert len(calls) == 2 * solver.parts
    assert logs[0] == logs[1]
    assert all(tensor.equal(weights[1][name]) for name, tensor in weights[0].items())


def test_micro_batches_go_on_at_an_iteration() -> None:
    solver = replace(SOLVER, iterations=4, batch_size=6, micro_batch=2)

    def labels(start: int) -> list[list[int]]:
        batches = micro_batches(Points(), solver, device=CPU, workers=0, start=start)
        return [part[1].tolist() for part in batches]

    assert len(labels(0)) == 12
    assert labels(0)[:3] == [[0, 1], [2, 0], [1, 2]]
    assert labels(3) == labels(0)[9:]
    assert labels(4) == []


def test_every_micro_batch_drops_features_of_its_own() -> None:
    solver = replace(SOLVER, batch_size=4, micro_batch=2)
    network = nn.Sequential(nn.Dropout(0.5), small_network())
    kept: list[tuple[bool, ...]] = []
    network[0].register_forward_hook(
        lambda _layer, _inputs, output: kept.append(tuple((output != 0).flatten().tolist()))
    )
    run(network, micro_batches(Points(), solver, device=CPU, workers=0, start=0), solver)
    assert len(kept) == len(set(kept)) == 4  # two iterations of two


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": -1}, "iterations is 0 or more, got -1"),
        ({"batch_size": 10, "micro_batch": 4}, "10 is not a multiple of micro_batch 4"),
        ({"micro_batch": 0}, "not a multiple of micro_batch 0"),
        ({"lr_steps": (10, 5)}, r"lr_steps must rise, got \(10, 5\)"),
        ({"lr_steps": (5, 5)}, "lr_steps must rise"),
        ({"lr_steps": (0, 1)}, "lr_steps lie within"),
        ({"clip_norm": 0.0}, "clip_norm is above 0, got 0.0"),
    ],
)
def test_bad_solver_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SOLVER, **change)
