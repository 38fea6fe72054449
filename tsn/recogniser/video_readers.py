"""Videos read in processes of their own: one that kills its reader, or holds it up, harms no more.

Whoever recognises videos of strangers reads them here: a served model, `tsn recognise`.
"""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tsn.recogniser.sparse_read import Need, SparseRead, read_sparsely
from tsn.streams.contents import VideoError
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.video import initialise_worker, unexpected
from tsn.workers.pool import Died, Helpers, Stop, WorkerError, never

Task = TypeVar("Task")
Read = TypeVar("Read")


@dataclass(frozen=True)
class _Task:
    path: Path
    needs: Sequence[Need]

    def __str__(self) -> str:
        return str(self.path)


class ReadError(OSError):
    """A video that the disk does not give: nothing is known of the video itself."""


class VideoReaders:
    """A process a core that reads, one video at a time, within limits. May be asked by threads."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        begin = partial(begin_reader, limits.gigabytes)
        self._helpers: Helpers[_Task, SparseRead | str] = Helpers(
            partial(_read, limits=limits), begin, most=os.cpu_count() or 1
        )

    def read(self, path: Path, needs: Sequence[Need], stop: Stop = never) -> SparseRead:
        """Return the frames that are needed, all of one size. Raises VideoError as
        `read_sparsely` does, and for a video at which the process dies or takes too long; ReadError
        for one that the disk does not give; StoppedError once `stop` gives a reason.
        """
        return ask_reader(self._helpers, path, _Task(Path(path).absolute(), tuple(needs)), stop)


def ask_reader(
    readers: Helpers[Task, Read | str], path: Path, task: Task, stop: Stop = never
) -> Read:
    """Return what is read of a video by functions that answer as `read_or_reason` does.

    Raises VideoError for their reasons, and for a video at which the process dies; ReadError for
    one that the disk does not give; StoppedError once `stop` gives a reason.
    """
    try:
        answer = readers.ask(task, stop)
    except WorkerError as error:
        raise ReadError(str(error)) from error
    if isinstance(answer, Died):
        raise VideoError(path, f"the process that read it {answer}")
    if isinstance(answer, str):
        raise VideoError(path, answer)
    return answer


def read_or_reason(read: Callable[[], Read]) -> Read | str:
    """Return what is read, or why it cannot be. Raises OSError: that says nothing of the video."""
    try:
        return read()
    except VideoError as error:
        return error.reason
    except OSError:
        raise
    except Exception as error:
        return unexpected(error)


def begin_reader(gigabytes: float) -> None:
    """Make a process ready to read, with that much memory."""
    initialise_worker(gigabytes)
    # It has nothing to tidy up, and a decoder at work would not hear of Python's own handler.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _read(task: _Task, _: None, limits: Limits) -> SparseRead | str:
    return read_or_reason(lambda: read_sparsely(task.path, task.needs, limits))
