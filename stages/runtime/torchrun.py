"""One training in several processes: starts them under torchrun, and joins them in each.

`python -m stages.train` with `machine.processes` above 1 becomes torchrun's agent, of processes
with the same command line. By hand: `torchrun --nproc-per-node 2 -m -- stages.train ...`, with the
`--` because torchrun would take `--log` for an option of its own. They end together: one that fails
ends the others, and all end with the agent, however that dies. Nothing is restarted: a training
goes on from what it saved when its stage is run again.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from stages.runtime.machine import Machine, lease_gpu_each
from tsn.training.data_parallel import ALONE, Share
from tsn.training.settings import SolverConfig

PATIENCE = timedelta(minutes=10)  # for another process, which may read from a slow disk meanwhile
SECONDS_TO_CLEAN_UP = 10.0
SECONDS_TO_LISTEN = 10.0
AGENT = "TSN_TORCHRUN_AGENT"  # its pid, for its processes


def processes_of(machine: Machine, solver: SolverConfig, text: str) -> int:
    """Return how many processes a training takes: `machine.processes`, or as many as its parts."""
    processes = min(machine.processes, solver.parts)
    if processes < machine.processes:
        print(
            f"{text}: {processes} of {machine.processes} processes, since a batch of "
            f"{solver.batch_size} has {solver.parts} parts of micro_batch {solver.micro_batch}"
        )
    return processes


def is_under_torchrun() -> bool:
    """Return whether this is one of the processes of a training, not the one to start them."""
    return dist.is_available() and dist.is_torchelastic_launched()


def launch(module: str, machine: Machine, solver: SolverConfig, text: str) -> bool:
    """Run this program's command line in several processes, to their end, each on a GPU if any.

    Return False in one of them, and where a training takes one: the caller has to do the work.
    Raises SystemExit when one has failed and said why, ChildProcessError when one was killed.
    """
    if is_under_torchrun() or (processes := processes_of(machine, solver, text)) == 1:
        return False
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    lease_gpu_each(machine, processes)
    os.environ[AGENT] = str(os.getpid())
    logging.disable(logging.ERROR)  # the agent's own: the processes speak for themselves
    os.environ.setdefault("OMP_NUM_THREADS", str(machine.threads))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nobody else has to reach them
    local = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    try:
        options = parse_args([*local, "-m", module])  # type: ignore[no-untyped-call]
        options.training_script_args = sys.argv[1:]  # parsed, `--log` would be one of torchrun's
        run(options)  # type: ignore[no-untyped-call]
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if (cause := _killed(codes)) is None:
            sys.exit(1)
        raise ChildProcessError(
            f"{cause}; the other processes of this training ended, too"
        ) from None
    return True


def _killed(codes: dict[int, int]) -> str | None:
    """Return which process a signal ended; None where one has failed and said so itself."""
    signals = {rank: signal.Signals(-code) for rank, code in sorted(codes.items()) if code < 0}
    foreign = {rank: sent for rank, sent in signals.items() if sent != signal.SIGTERM}
    if not foreign and len(signals) < len(codes):
        return None  # SIGTERM is what torchrun sends to those that are left
    rank, sent = next(iter((foreign or signals).items()))
    hint = ", as by the kernel when memory is short" if sent == signal.SIGKILL else ""
    return f"process {rank} was killed by {sent.name}{hint}"


@contextmanager
def joined(device: torch.device) -> Iterator[Share]:
    """Give this process's share of the training; under torchrun, stay connected to the others.

    The first process speaks for all. Another one tells an error if it is still there a moment
    later, because the first has not found the same.
    """
    if not is_under_torchrun():
        yield ALONE
        return
    share = Share(rank=int(os.environ["RANK"]), processes=int(os.environ["WORLD_SIZE"]))
    _end_with_agent()
    if share.rank:  # it has nothing to clean up and must not wait for the others
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # or what names no device is made on the first
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        yield share
        dist.destroy_process_group()
    except Exception:
        if share.rank:
            time.sleep(SECONDS_TO_LISTEN)
        raise


def _end_with_agent() -> None:
    """End this process soon after its agent, even inside a call that waits for a GPU."""
    # The signal of `tsn.workers.parent` ends no call that waits for a GPU, and does not come if the
    # agent is gone already, and its processes another's; by hand, torchrun tells no number.
    agent = int(os.environ.get(AGENT) or os.getppid())

    def watch() -> None:
        while os.getppid() == agent:
            time.sleep(1.0)
        time.sleep(SECONDS_TO_CLEAN_UP)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
