"""The machine a stage runs on, as params.yaml describes it."""

import ctypes
import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stages.runtime import gpu_slots, params
from tsn.streams.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")  # those of tsn.model.network, which loads PyTorch
COMPILE = ("auto", "always", "never")
ITERATIONS_TO_COMPILE = 3000  # compiling takes one to two minutes, and saves up to half of each
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine lends to a stage. `threads`, `device` and `processes` change the order of
    float sums, `precision` and `compile` their digits; TV-L1 on a GPU is that of the CPU to some
    ten-thousandths of a pixel. What `reading` refuses is set aside. Nothing else changes a result.

    device: cpu, cuda or auto (cuda when there is one).
    processes: how many processes one training of a cell takes, each with a GPU of its own, its own
        `threads` and its own `workers`; a training with fewer micro-batches takes fewer.
    threads: CPU threads of one training process; fixed, so that results do not depend on the
        machine.
    workers: processes that read data, or extract videos (on GPUs: two each); 0 reads in the
        training process.
    checkpoint_seconds: an interrupted training loses at most this much.
    precision: of training, float32, bfloat16 or auto (tsn.model.network). Scores are float32:
        those of a recogniser and of the pipeline are the same.
    compile: whether PyTorch compiles a network for its training: always, never, or auto, as
        `worth_compiling` says.
    reading: what one video may take; one that takes more is refused by name.
    """

    device: str
    processes: int
    threads: int
    workers: int
    checkpoint_seconds: float
    precision: str = "auto"
    compile: str = "auto"
    reading: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device is auto, cpu or cuda, got {self.device!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.compile not in COMPILE:
            raise ValueError(f"compile is one of {', '.join(COMPILE)}, got {self.compile!r}")
        if self.processes < 1:
            raise ValueError(f"processes is at least 1, got {self.processes}")
        if self.threads < 1 or self.workers < 0:
            raise ValueError(f"threads >= 1 and workers >= 0, got {self.threads}, {self.workers}")


def read_machine() -> Machine:
    """Return the machine section of params.yaml."""
    return params.section(params.load(), "machine", Machine)


def this_machine(device: str | None) -> Machine:
    """Return the machine for what a person waits for, with a thread a core, and that device if it
    is not None. Where there is no params.yaml, it is that of a project which says nothing of it.
    """
    if params.PARAMS.is_file():
        found = read_machine()
    else:
        found = Machine(device="auto", processes=1, threads=1, workers=0, checkpoint_seconds=60.0)
    return replace(found, device=device or found.device, threads=count_cores())


def choose_device(machine: Machine) -> "torch.device":
    """Return the device of the machine section, with torch made deterministic there.

    A GPU is leased for this process (`stages/runtime/gpu_slots.py`), after a wait if all are taken;
    of the GPUs that were leased for all processes of a training, each has the one of its number.
    On the CPU, what this process frees from then on stays its own until it ends.
    """
    if machine.device != "cpu" and has_nvidia_driver():
        gpu_slots.lease(1, 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS is not deterministic
    import torch

    torch.set_num_threads(machine.threads)
    torch.set_deterministic_debug_mode("warn")
    # Filling what will be written anyway takes a quarter of a small network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("machine.device is cuda, but torch sees none; set it to auto or cpu")
    if machine.device == "cpu" or not torch.cuda.is_available():
        _keep_freed_memory()
        return torch.device("cpu")
    several = torch.cuda.device_count() > 1
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if several else 0)


def worth_compiling(machine: Machine, device: "torch.device", iterations: int) -> bool:
    """Return whether a network is to be compiled for a training of so many iterations.

    auto: for a long one on a GPU, where there is the C compiler that PyTorch calls.
    """
    if machine.compile == "auto":
        long = device.type == "cuda" and iterations >= ITERATIONS_TO_COMPILE
        return long and any(map(shutil.which, ("cc", "gcc", "clang")))
    return machine.compile == "always"


def _keep_freed_memory() -> None:
    """Let glibc keep what a network's step frees for the next step, where glibc is.

    It would return every large block to the kernel, which hands out the same pages again, cleared
    one by one. What that costs: benchmarks/network_step.py.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)  # large blocks come from the heap too,
        mallopt(_M_TRIM_THRESHOLD, -1)  # whose free end stays


def lease_gpu_each(machine: Machine, processes: int) -> None:
    """Lease a GPU for every process of a training, or none where they run on the CPU.

    ValueError on a machine that has fewer.
    """
    if machine.device == "cpu" or not has_nvidia_driver():
        return
    num_gpus = len({slot.gpu for slot in gpu_slots.find_slots()})
    if 0 < num_gpus < processes:
        raise ValueError(
            f"machine.processes: {processes} of one training take a GPU each, but there are "
            f"{num_gpus}; lower it, or set machine.device to cpu"
        )
    gpu_slots.lease(processes, processes)


def lease_gpus(machine: Machine, at_least: int, at_most: int) -> int:
    """Lease free GPUs if the machine section lends any, and count them; 0: the CPU is used.

    They are cuda:0 to cuda:n-1 of this process and those it starts.
    """
    if machine.device == "cpu" or (machine.device == "auto" and not has_nvidia_driver()):
        return 0
    gpu_slots.lease(at_least, at_most)
    import torch

    num_gpus = torch.cuda.device_count()
    if machine.device == "cuda" and not num_gpus:
        raise ValueError("machine.device is cuda, but torch sees none; set it to auto or cpu")
    return num_gpus


def count_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_nvidia_driver() -> bool:
    """Return whether there is one: asked before torch, whose import takes seconds."""
    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True
