"""GPUs, leased by the process that uses them: two trainings never share one by accident.

A lease is a lock on a file per GPU in a folder of the machine and the user. The kernel gives it
back when the process ends, however it does, so no slot is ever lost; and it holds for trainings
started by hand, by `dvc repro` and by the grid alike.

`CUDA_VISIBLE_DEVICES` says which GPUs may be taken, as everywhere. `TSN_GPU_SLOTS` lists the slots
themselves, as CUDA_VISIBLE_DEVICES would: a GPU named twice takes two processes at once.
`TSN_RUNTIME_DIR` is the folder of the locks; users who share GPUs make one that all may write to.
"""

import fcntl
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MASK = "CUDA_VISIBLE_DEVICES"
SLOTS = "TSN_GPU_SLOTS"
FOLDER = "TSN_RUNTIME_DIR"
LEASED = "TSN_GPU_LEASE"  # the mask of a lease, for the processes that its holder starts
ALL = sys.maxsize
WAIT_SECONDS = 0.5
PROBE_SECONDS = 60.0

logger = logging.getLogger(__name__)
_held: list[IO[str]] = []  # as long as this process lives


class NoGpuError(OSError):
    """GPUs were to be leased, and none of them works."""


@dataclass(frozen=True)
class Slot:
    """A place for one process on a GPU.

    gpu: as CUDA_VISIBLE_DEVICES names it, a UUID where CUDA tells one.
    place: 0, or more for further processes on the same GPU.
    """

    gpu: str
    place: int


def find_slots() -> list[Slot]:
    """The slots that this process may lease; none on a machine without GPUs."""
    listed = os.environ.get(SLOTS)
    gpus = visible_gpus() if listed is None else _named(_words(listed))
    seen: Counter[str] = Counter()
    slots = []
    for gpu in gpus:
        slots.append(Slot(gpu, seen[gpu]))
        seen[gpu] += 1
    return slots


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs that CUDA shows under the inherited mask; the mask's words if it fails."""
    mask = os.environ.get(MASK)
    if mask is not None and (not _words(mask) or "MIG-" in mask):
        return _words(mask)
    return _ask_cuda(LIST_PROGRAM, mask) or _words(mask or "")


def _named(words: list[str]) -> list[str]:
    """The UUID of each word, so that all ways to name a GPU meet at one lock."""
    different = list(dict.fromkeys(words))
    uuids = _ask_cuda(LIST_PROGRAM, ",".join(different)) if different else []
    if len(uuids) != len(different):
        return words  # of no GPU that CUDA knows
    return [dict(zip(different, uuids, strict=True))[word] for word in words]


def works(gpu: str) -> bool:
    """Whether a process that sees this GPU alone can use its memory."""
    return bool(_ask_cuda(PROBE_PROGRAM, gpu))


def lease(
    at_least: int,
    at_most: int,
    *,
    slots: Sequence[Slot] | None = None,
    probe: Callable[[str], bool] = works,
) -> list[str]:
    """Leases free GPUs until this process ends and shows CUDA these alone; returns their names.

    To be called before CUDA is used. Waits until `at_least` are free at once. A GPU that fails its
    probe is passed over with a warning; NoGpuError when too few are left. Without any slot nothing
    happens, nor where this process, or the one that started it, has its lease already.
    """
    leased = os.environ.get(LEASED)
    if leased and leased == os.environ.get(MASK):
        return _words(leased)
    every = list(find_slots() if slots is None else slots)
    remaining = every
    told = False
    while remaining:
        taken, remaining = _take(remaining, at_most, probe)
        if len(taken) >= at_least:
            return _keep(taken)
        for lock, _ in taken:
            lock.close()  # or two that wait for one more would wait for ever
        if len({slot.gpu for slot in remaining}) < at_least:
            break
        if not told:
            logger.info("waiting for a GPU: %s", "; ".join(_holder(slot) for slot in remaining))
            told = True
        time.sleep(WAIT_SECONDS)
    if every:
        broken = sorted({slot.gpu for slot in every} - {slot.gpu for slot in remaining})
        raise NoGpuError(
            f"{at_least} working GPU(s) needed, there are {len({s.gpu for s in remaining})}; "
            f"failing their probe: {', '.join(broken) or 'none'}. nvidia-smi may say why; {MASK} "
            "says which GPUs to take, machine.device: cpu does without"
        )
    return []


def _keep(taken: Sequence[tuple[IO[str], Slot]]) -> list[str]:
    _held.extend(lock for lock, _ in taken)
    gpus = [slot.gpu for _, slot in taken]
    os.environ[MASK] = os.environ[LEASED] = ",".join(gpus)
    return gpus


def _take(
    slots: Sequence[Slot], at_most: int, probe: Callable[[str], bool]
) -> tuple[list[tuple[IO[str], Slot]], list[Slot]]:
    """Locks free slots, one of a GPU; also returns the slots that are not known to be broken."""
    taken: list[tuple[IO[str], Slot]] = []
    sound = []
    for slot in slots:
        is_open = len(taken) < at_most and slot.gpu not in {held.gpu for _, held in taken}
        lock = _try_lock(slot) if is_open else None
        if lock is not None:
            if not probe(slot.gpu):
                logger.warning("GPU %s fails its probe: it is passed over", slot.gpu)
                lock.close()
                continue
            taken.append((lock, slot))
        sound.append(slot)
    return taken, sound


def _try_lock(slot: Slot) -> IO[str] | None:
    # Neither emptied nor followed: what is in it is the present holder's, and the folder is known.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.fdopen(os.open(_lock_path(slot), flags, 0o666), "a+", encoding="utf-8")
    if os.environ.get(FOLDER):
        with suppress(OSError):  # of the user who made it
            os.fchmod(lock.fileno(), 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(f"pid {os.getpid()} {os.environ.get('DVC_STAGE', '')}")
    lock.flush()
    return lock


def _lock_path(slot: Slot) -> Path:
    chosen = os.environ.get(FOLDER)
    folder = Path(chosen or f"/tmp/tsn-{os.getuid()}")  # not of the session: cron has another one
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not chosen and folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder}: belongs to another user; set {FOLDER} to a folder of yours")
    return folder / f"gpu-{slot.gpu.replace('/', '_')}.{slot.place}"


def _holder(slot: Slot) -> str:
    with suppress(OSError):
        if text := _lock_path(slot).read_text(encoding="utf-8").strip():
            return f"{slot.gpu} is leased by {text}"
    return f"{slot.gpu} is leased"


def _words(mask: str) -> list[str]:
    return [word.strip() for word in mask.split(",") if word.strip() not in ("", "-1")]


def _ask_cuda(program: str, mask: str | None) -> list[str]:
    """What a small program says about the GPUs of a mask; nothing when it fails or hangs.

    In a process of its own: CUDA reads its mask once, and one that has failed cannot be used again.
    """
    environment = {**os.environ} if mask is None else {**os.environ, MASK: mask}
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", CUDA_PROGRAM + program],
            env=environment,
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
        )
        if done.returncode == 0:
            return done.stdout.split()
    return []


# The driver itself, without PyTorch, whose import takes seconds.
CUDA_PROGRAM = """
import ctypes, uuid
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    if code:
        raise SystemExit(f"{name}: error {code}")
count, device = ctypes.c_int(), ctypes.c_int()
call("cuInit", 0)
call("cuDeviceGetCount", ctypes.byref(count))
"""
LIST_PROGRAM = """
for index in range(count.value):
    name = (ctypes.c_ubyte * 16)()
    call("cuDeviceGet", ctypes.byref(device), index)
    call("cuDeviceGetUuid", name, device)
    print(f"GPU-{uuid.UUID(bytes=bytes(name))}")
"""
PROBE_PROGRAM = """
context, memory = ctypes.c_void_p(), ctypes.c_uint64()
call("cuDeviceGet", ctypes.byref(device), 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call("cuCtxSetCurrent", context)
call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(1 << 20))
call("cuMemsetD8_v2", memory, ctypes.c_ubyte(1), ctypes.c_size_t(1 << 20))
call("cuCtxSynchronize")
print("works")
"""
