"""Tasks in processes of which one may die, hang up or be stopped without harm to the others.

Not a ProcessPoolExecutor: that one cannot say which task killed a worker, breaks all others with
it, and cannot be stopped in the middle of a task. Workers are spawned. They load the modules of the
functions that they are given, and not the calling program with all that it imports.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import Empty, LifoQueue
from typing import Any, Generic, TypeVar

from tsn.workers.watchdog import HUNG

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Device = TypeVar("Device")

_SECONDS_TO_STOP = 5.0
_starting = threading.Lock()
_SECONDS_BETWEEN_LOOKS = 0.2


class WorkerError(RuntimeError):
    """A function that raised in a worker, or a worker that cannot start.

    It tells the traceback, too, unless the function raised an OSError."""


class StoppedError(RuntimeError):
    """A task whose answer is no longer wanted, with the reason."""


Stop = Callable[[], str]  # what says why to stop; nothing as long as there is no reason


def never() -> str:
    """Return no reason to stop."""
    return ""


@dataclass(frozen=True)
class Died:
    """Instead of an answer: the process ended, by exit code or signal (negative)."""

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code == HUNG:
            return "was stopped: it took too long"
        if self.exit_code is not None and self.exit_code < 0:
            return f"was killed by signal {-self.exit_code}"
        return f"exited with code {self.exit_code}"


def run_tasks(
    function: Callable[[Task, Device], Answer],
    tasks: Iterable[Task],
    devices: Sequence[Device],
    initialise: Callable[[], None],
) -> Iterator[tuple[Task, Answer | Died]]:
    """Yield every task with `function(task, device)`, or with how its process died, as they finish.

    Every device has a process, which calls `initialise()` once, and a new one when that died: a
    device is what one process at a time may use, a GPU for example. Processes end with this
    generator, at once when it is closed early, and with the calling process, however that ends.
    Raises WorkerError when `function` raises. Function, tasks, devices and answers are pickled.
    """
    waiting = deque(tasks)
    pool: dict[Connection, _Worker[Task, Device]] = {}
    try:
        for device in devices[: len(waiting)]:
            _add_worker(pool, function, initialise, device)
        while pool:
            idle: list[Connection] = []
            for connection in wait(list(pool)):
                assert isinstance(connection, Connection)
                worker = pool[connection]
                finished, worker.task = worker.task, None
                message = _receive(connection, worker.process)
                if isinstance(message, Died):
                    if finished is None:
                        raise WorkerError(f"a worker {message} before its first task: see above")
                    _stop(connection, pool.pop(connection).process)
                    if waiting:
                        _add_worker(pool, function, initialise, worker.device)
                elif waiting:
                    worker.task = waiting.popleft()
                    with suppress(OSError):  # it died meanwhile: its pipe says so next time
                        connection.send(worker.task)
                else:
                    idle.append(connection)
                if finished is not None:
                    yield finished, message
            for connection in idle:  # after the answers, which need not wait for it
                _stop(connection, pool.pop(connection).process)
    finally:
        for worker in pool.values():
            worker.process.terminate()
        for connection, worker in pool.items():
            _stop(connection, worker.process)


@dataclass
class _Worker(Generic[Task, Device]):
    process: BaseProcess
    device: Device
    task: Task | None


@dataclass(frozen=True)
class _Raised:
    report: str


class Helpers(Generic[Task, Answer]):
    """Processes that answer `function(task)`, each one caller at a time; at most `most` of them.

    May be asked by several threads; where they are more, they wait. The processes are made when
    they are needed, are replaced when they die, and end with this object.
    """

    def __init__(
        self,
        function: Callable[[Task, None], Answer],
        initialise: Callable[[], None],
        most: int,
    ) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._function, self._initialise = function, initialise
        self._idle: LifoQueue[tuple[Connection, BaseProcess]] = LifoQueue()
        weakref.finalize(self, _stop_all, self._idle)

    def ask(self, task: Task, stop: Stop = never) -> Answer | Died:
        """Return the answer, or how the process died of the task. Raises as `run_tasks` does.

        Raises StoppedError within moments once `stop()` gives a reason: the process is killed.
        """
        while not self._free.acquire(timeout=_SECONDS_BETWEEN_LOOKS):
            _raise_if_stopped(stop)
        try:
            return self._ask(task, stop)
        finally:
            self._free.release()

    def _ask(self, task: Task, stop: Stop) -> Answer | Died:
        connection, process = self._take(stop)
        with suppress(OSError):  # it died meanwhile: its pipe says so next
            connection.send(task)
        try:
            message: Answer | Died = _await(connection, process, stop)
        except WorkerError:
            self._idle.put((connection, process))
            raise
        if not isinstance(message, Died):
            self._idle.put((connection, process))
        return message

    def _take(self, stop: Stop) -> tuple[Connection, BaseProcess]:
        """Return an idle process that is still there, or a new one."""
        with suppress(Empty):
            while True:
                connection, process = self._idle.get_nowait()
                if process.is_alive() and not connection.poll():
                    return connection, process
                _stop(connection, process)
        connection, process = _start(self._function, self._initialise, None)
        ready = _await(connection, process, stop)
        if isinstance(ready, Died):
            raise WorkerError(f"a worker {ready} before its first task: see above")
        return connection, process


def _await(connection: Connection, process: BaseProcess, stop: Stop) -> Any:
    """Return a worker's message, as `_receive` does; kill it if it is left without one."""
    try:
        while not connection.poll(_SECONDS_BETWEEN_LOOKS):
            _raise_if_stopped(stop)
        return _receive(connection, process)
    except WorkerError:
        raise
    except BaseException:
        process.kill()
        _stop(connection, process)
        raise


def _raise_if_stopped(stop: Stop) -> None:
    if why := stop():
        raise StoppedError(why)


def _stop_all(idle: "LifoQueue[tuple[Connection, BaseProcess]]") -> None:
    with suppress(Empty):
        while True:
            _stop(*idle.get_nowait())


def _add_worker(
    pool: dict[Connection, _Worker[Task, Device]],
    function: Callable[[Task, Device], Answer],
    initialise: Callable[[], None],
    device: Device,
) -> None:
    connection, process = _start(function, initialise, device)
    pool[connection] = _Worker(process, device, None)


def _start(
    function: Callable[[Task, Device], Answer], initialise: Callable[[], None], device: Device
) -> tuple[Connection, BaseProcess]:
    spawn = multiprocessing.get_context("spawn")
    connection, worker_end = spawn.Pipe()
    process = spawn.Process(
        target=_work, args=(worker_end, function, initialise, device), daemon=True
    )
    with _unseen_program():
        process.start()
    worker_end.close()  # so that the worker's death ends the pipe
    return connection, process


@contextmanager
def _unseen_program() -> Iterator[None]:
    """Hide where the program comes from, from processes that are spawned: they would import it."""
    with _starting:
        program = vars(sys.modules["__main__"])
        names = ("__spec__", "__file__")
        hidden: dict[str, Any] = {name: program.pop(name) for name in names if name in program}
        program["__spec__"] = None
        try:
            yield
        finally:
            program.update(hidden)


def _receive(connection: Connection, process: BaseProcess) -> Any:
    """Return a worker's message: None when it is ready, then an answer each time, or Died."""
    try:
        message = connection.recv()
    except (EOFError, OSError):
        process.join()
        return Died(process.exitcode)
    if isinstance(message, _Raised):
        raise WorkerError(message.report)
    return message


def _stop(connection: Connection, process: BaseProcess) -> None:
    connection.close()  # an idle worker leaves at the end of its pipe
    process.join(_SECONDS_TO_STOP)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _work(
    connection: Connection,
    function: Callable[[Task, Device], Answer],
    initialise: Callable[[], None],
    device: Device,
) -> None:
    """Answer tasks until the pipe ends: the main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_die_with_parent, daemon=True).start()
    initialise()
    connection.send(None)
    with suppress(EOFError):
        while True:
            connection.send(_answer(function, connection.recv(), device))


def _answer(
    function: Callable[[Task, Device], Answer], task: Task, device: Device
) -> Answer | _Raised:
    try:
        return function(task, device)
    except OSError as error:  # a full disk, a file that is gone: the text says it all
        return _Raised(f"{task}: {error}")
    except Exception:
        return _Raised(f"{task}: {traceback.format_exc()}")


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
