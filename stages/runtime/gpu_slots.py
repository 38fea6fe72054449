"""GPUs, leased by the process that uses them: two training runs never share one by accident.

A lease is a lock on a file per GPU in a folder of the machine and the user. The kernel gives it
back when the process ends, however it does, so no slot is ever lost; and it holds for training that
is started by hand, by `dvc repro` and by the grid alike.

`CUDA_VISIBLE_DEVICES` says which GPUs may be taken, as everywhere. `TSN_GPU_SLOTS` lists the slots
themselves, as CUDA_VISIBLE_DEVICES would: a GPU named twice takes two processes at once.
`TSN_RUNTIME_DIR` is the folder of the locks; users who share GPUs make one that all may write to.

Who needs several GPUs at once would be passed by all who need one. So it first takes the turn of
every GPU it may use, a second lock: while it has that, nobody else starts on them, and it keeps
what it gets. What it leases it then shares (a shared lock) with the processes that it starts, so
that the GPUs stay taken until the last of them has ended, should it be killed itself.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tsn.locks import try_lock

MASK = "CUDA_VISIBLE_DEVICES"
SLOTS = "TSN_GPU_SLOTS"
FOLDER = "TSN_RUNTIME_DIR"
LEASED = "TSN_GPU_LEASE"  # the mask of a lease, for the processes that its holder starts
LOCKS = "TSN_GPU_LOCKS"  # the lock files of a lease of several, for them to share
PARENT = Path("/tmp")  # of the folder, if none is chosen; not of the session: cron has another one
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
    """Return the slots that this process may lease; none on a machine without GPUs."""
    listed = os.environ.get(SLOTS)
    gpus = visible_gpus() if listed is None else _named(_words(listed))
    seen: Counter[str] = Counter()
    slots = []
    for gpu in gpus:
        slots.append(Slot(gpu, seen[gpu]))
        seen[gpu] += 1
    return slots


def visible_gpus() -> list[str]:
    """Return the UUIDs of the GPUs under the inherited mask; the mask's words if CUDA fails."""
    mask = os.environ.get(MASK)
    if mask is not None and (not _words(mask) or "MIG-" in mask):
        return _words(mask)
    return _ask_cuda(LIST_PROGRAM, mask) or _words(mask or "")


def _named(words: list[str]) -> list[str]:
    """Return the UUID of each word, so that all ways to name a GPU meet at one lock."""
    different = list(dict.fromkeys(words))
    uuids = _ask_cuda(LIST_PROGRAM, ",".join(different)) if different else []
    if len(uuids) != len(different):
        return words  # of no GPU that CUDA knows
    return [dict(zip(different, uuids, strict=True))[word] for word in words]


def works(gpu: str) -> bool:
    """Return whether a process that sees this GPU alone can use its memory."""
    return bool(_ask_cuda(PROBE_PROGRAM, gpu))


def lease(
    at_least: int,
    at_most: int,
    *,
    slots: Sequence[Slot] | None = None,
    probe: Callable[[str], bool] = works,
) -> list[str]:
    """Lease free GPUs until this process ends and show CUDA these alone; return their names.

    To be called before CUDA is used. Waits until `at_least` are free at once. A GPU that fails its
    probe is passed over with a warning; NoGpuError when too few are left. Without any slot nothing
    happens, nor where this process, or the one that started it, has its lease already.
    """
    leased = os.environ.get(LEASED)
    if leased and leased == os.environ.get(MASK):
        _share()
        return _words(leased)
    every = list(find_slots() if slots is None else slots)
    if not every:
        return []
    with ExitStack() as stack:
        if at_least > 1:
            _take_turns(sorted({slot.gpu for slot in every}), stack)
        taken = _collect(every, at_least, at_most, probe)
        locks = list(taken.values())
        _held.extend(locks)
        gpus = [slot.gpu for slot in taken]
        os.environ[MASK] = os.environ[LEASED] = ",".join(gpus)
        os.environ[LOCKS] = ""
        if at_least > 1:
            os.environ[LOCKS] = ",".join(_lock_path(slot).name for slot in taken)
            for lock in locks:  # nobody comes between: only who has the turn tries these
                try_lock(lock, shared=True)
    return gpus


def _take_turns(gpus: Sequence[str], stack: ExitStack) -> None:
    """Wait for the turn of each GPU, and keep it until the stack ends.

    All go through the GPUs in one order, so that no two wait for one another.
    """
    for gpu in gpus:
        turn = stack.enter_context(_open(_turn_path(gpu)))
        if not try_lock(turn):
            logger.info("waiting for the turn of GPU %s, which another process has", gpu)
        while not try_lock(turn):
            time.sleep(WAIT_SECONDS)


def _collect(
    slots: Sequence[Slot], at_least: int, at_most: int, probe: Callable[[str], bool]
) -> dict[Slot, IO[str]]:
    """Lock slots, one of a GPU, until there are enough."""
    taken: dict[Slot, IO[str]] = {}
    broken: set[str] = set()
    told = False
    try:
        while True:
            _take(slots, at_most, probe, taken, broken, has_turns=at_least > 1)
            if len(taken) >= at_least:
                return taken
            sound = [slot for slot in slots if slot.gpu not in broken]
            if len({slot.gpu for slot in sound}) < at_least:
                raise _too_few(at_least, sound, broken)
            if not told:
                busy = [slot for slot in sound if slot not in taken]
                logger.info("waiting for a GPU: %s", "; ".join(map(_holder, busy)))
                told = True
            time.sleep(WAIT_SECONDS)
    except BaseException:
        for lock in taken.values():
            lock.close()
        raise


def _take(
    slots: Sequence[Slot],
    at_most: int,
    probe: Callable[[str], bool],
    taken: dict[Slot, IO[str]],
    broken: set[str],
    *,
    has_turns: bool,
) -> None:
    """Add what is free to the taken slots, and GPUs that fail their probe to the broken ones."""
    for slot in slots:
        if len(taken) >= at_most or slot.gpu in broken | {held.gpu for held in taken}:
            continue
        lock = _try_slot(slot, has_turn=has_turns)
        if lock is None:
            continue
        if probe(slot.gpu):
            taken[slot] = lock
        else:
            logger.warning("GPU %s fails its probe: it is passed over", slot.gpu)
            broken.add(slot.gpu)
            lock.close()


def _too_few(at_least: int, sound: Sequence[Slot], broken: Set[str]) -> NoGpuError:
    return NoGpuError(
        f"{at_least} working GPU(s) needed, there are {len({s.gpu for s in sound})}; "
        f"failing their probe: {', '.join(sorted(broken)) or 'none'}. nvidia-smi may say why; "
        f"{MASK} says which GPUs to take, machine.device: cpu does without"
    )


def _share() -> None:
    """Share the slots that the process which started this one has leased."""
    if _held:
        return
    for name in _words(os.environ.get(LOCKS, "")):
        lock = _open(_folder() / name)
        if not try_lock(lock, shared=True):
            lock.close()
            raise OSError(f"{name}: the lease of the process that started this one has ended")
        _held.append(lock)


def _try_slot(slot: Slot, *, has_turn: bool) -> IO[str] | None:
    """Return the lock of a slot if it is free and no other process has the turn of its GPU."""
    with ExitStack() as stack:
        if not has_turn:
            turn = stack.enter_context(_open(_turn_path(slot.gpu)))
            if not try_lock(turn, shared=True):
                return None
        lock = _open(_lock_path(slot))
        if not try_lock(lock):
            lock.close()
            return None
    lock.truncate(0)
    lock.write(f"pid {os.getpid()} {os.environ.get('DVC_STAGE', '')}")
    lock.flush()
    return lock


def _open(path: Path) -> IO[str]:
    """Open a lock file; make it if there is none.

    Neither emptied nor followed: what is in it is the present holder's, and the folder is known.
    In a folder that all may write to, the kernel refuses O_CREAT for a file that another made.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        with suppress(FileNotFoundError):
            return os.fdopen(os.open(path, flags), "a+", encoding="utf-8")
        with suppress(FileExistsError):
            lock = os.fdopen(
                os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), "a+", encoding="utf-8"
            )
            if os.environ.get(FOLDER):
                os.fchmod(lock.fileno(), 0o666)  # for all users, whatever this one's umask
            return lock


def _lock_path(slot: Slot) -> Path:
    return _folder() / f"gpu-{_file_name(slot.gpu)}.{slot.place}"


def _turn_path(gpu: str) -> Path:
    return _folder() / f"turn-{_file_name(gpu)}"


def _file_name(gpu: str) -> str:
    return gpu.replace("/", "_")


def _folder() -> Path:
    if chosen := os.environ.get(FOLDER):
        folder = Path(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder = PARENT / f"tsn-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise OSError(f"{folder}: belongs to another user; set {FOLDER} to a folder of yours")
    return folder


def _holder(slot: Slot) -> str:
    with suppress(OSError):
        if text := _lock_path(slot).read_text(encoding="utf-8").strip():
            return f"{slot.gpu} is leased by {text}"
    return f"{slot.gpu} is leased"


def _words(mask: str) -> list[str]:
    return [word.strip() for word in mask.split(",") if word.strip() not in ("", "-1")]


def _ask_cuda(program: str, mask: str | None) -> list[str]:
    """Return what a small program says about the GPUs of a mask; nothing when it fails or hangs.

    In a process of its own: CUDA reads its mask once, and one that has failed cannot be used again.
    NVML would not do: it knows no mask, and cannot try the memory.
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
