"""The GPU path against the CPU path: on a GPU, and on the CPU in Triton's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from flow_pairs import Gray, mean_endpoint_error, recovered_share, shifted_pair, waving_pair

from tsn.flow.tvl1 import DEEP, Pyramid
from tsn.flow.tvl1_cpu import tvl1_flow

pytest.importorskip("triton", reason="Triton is not made for this platform")

INTERPRETED = """
import json, sys
import cv2, numpy as np, torch
from tsn.flow import tvl1_gpu
from tsn.flow.tvl1 import Pyramid

tvl1_gpu._TILE_X = tvl1_gpu._TILE_Y = 16  # four tiles of the finest level, three of them partly
torch.set_num_threads(1)
frames = [torch.from_numpy(np.load(sys.argv[1])[name]) for name in ("gray0", "gray1")]
pyramid = Pyramid(**json.loads(sys.argv[3]))
together, of_both = tvl1_gpu.solve(*frames, pyramid)
alone, of_one = tvl1_gpu.solve(*(gray[:1] for gray in frames), pyramid)
np.savez(sys.argv[2], together=together, alone=alone)

u = torch.randn(1, 2, 21, 19)
level = tvl1_gpu._Level(u)
level._launch(tvl1_gpu.median, u, level.filtered_u, level.change, -1)
exact = [bool((cv2.medianBlur(u[0, i].numpy(), 5) == level.filtered_u[0, i].numpy()).all())
         for i in range(2)]
print(json.dumps({"pixel_iterations": [float(of_both), float(of_one)], "median": exact}))
"""


# The interpreter takes a second for a few launches: two levels, and two warps of the smaller one.
SHALLOW = Pyramid(step=0.77, least_size=6, max_levels=2, finest_warps=1, coarser_warps=2)


def small_pairs() -> tuple[Gray, Gray]:
    """A moving pair and one at rest, of a size that no tile divides."""
    gray0, gray1, _ = waving_pair(0.2)
    inner = np.s_[40:57, 60:78]
    return np.stack([gray0[inner], gray0[inner]]), np.stack([gray1[inner], gray0[inner]])


@pytest.mark.slow
def test_kernels_in_the_interpreter_give_the_cpus_flow(tmp_path: Path) -> None:
    gray0, gray1 = small_pairs()
    files = [tmp_path / name for name in ("frames.npz", "flow.npz")]
    np.savez(files[0], gray0=gray0, gray1=gray1)
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, *files, json.dumps(vars(SHALLOW))],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["median"] == [True, True]
    # The pair at rest takes one round of two iterations in the warp of the finest level and in
    # both of the other: 17 * 0.77 = 13.09; 18 * 0.77 = 13.86.
    both, moving = told["pixel_iterations"]
    assert both - moving == 2 * (17 * 18 + 2 * 13 * 14) < moving / 2
    flow = np.load(files[1])
    for index in range(2):
        on_cpu = tvl1_flow(gray0[index], gray1[index], SHALLOW)
        assert mean_endpoint_error(flow["together"][index], on_cpu) < 1e-3
    assert np.abs(flow["together"][0]).mean() > 0.1
    np.testing.assert_array_equal(flow["together"][:1], flow["alone"])
    np.testing.assert_array_equal(flow["together"][1], 0)


COMPILED = """
import json
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from tsn.flow import tvl1_gpu as gpu
from tsn.flow import tvl1_kernels as kernels

TILE = {"TX": gpu._TILE_X, "TY": gpu._TILE_Y}
VARIANTS = [
    (kernels.linearise, {**TILE, **gpu._LINEARISATION}),
    (kernels.median, TILE),
    (kernels.iterate, {**TILE, "SECOND": False, **gpu._ITERATION}),
    (kernels.iterate, {**TILE, "SECOND": True, **gpu._ITERATION}),
]
NUMBERS = {"limit": "i64", "width": "i32", "height": "i32"}
POINTERS = dict.fromkeys(("change", "next_change", "iterations"), "*i64")
sizes = []
for kernel, constants in VARIANTS:
    signature = {
        name: "constexpr" if name in constants else NUMBERS.get(name, POINTERS.get(name, "*fp32"))
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    sizes.append(len(compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]))
print(json.dumps(sizes))
"""


@pytest.mark.slow
def test_kernels_compile_for_an_h200_without_one() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert min(json.loads(done.stdout)) > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_and_cpu_agree_and_a_pair_stands_alone() -> None:
    from tsn.flow.tvl1_gpu import tvl1_flow_batch

    pairs = [waving_pair(amplitude)[:2] for amplitude in (0.5, 2.0, 4.0)]
    gray0, gray1 = (torch.from_numpy(np.stack(grays)).cuda() for grays in zip(*pairs, strict=True))
    together = tvl1_flow_batch(gray0, gray1, DEEP)
    for index, pair in enumerate(pairs):
        assert mean_endpoint_error(together[index].cpu().numpy(), tvl1_flow(*pair, DEEP)) < 0.05
        one = slice(index, index + 1)
        assert torch.equal(tvl1_flow_batch(gray0[one], gray1[one], DEEP), together[one])
    assert torch.equal(tvl1_flow_batch(gray0, gray1, DEEP), together)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dx", "dy"), [(16, 0), (0, -16), (20, 0)])
def test_gpu_recovers_a_shift_of_up_to_20_pixels(dx: int, dy: int) -> None:
    from tsn.flow.tvl1_gpu import tvl1_flow_batch

    gray0, gray1 = (torch.from_numpy(gray[None]).cuda() for gray in shifted_pair(dx, dy, 4.0))
    flow = tvl1_flow_batch(gray0, gray1, DEEP)[0].cpu().numpy()
    assert 0.95 <= recovered_share(flow, dx, dy) <= 1.05
