"""What every stage does as a program: speak plainly, end with its parent, fail in one screen."""

import errno
import logging
import os
import shlex
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from stages.runtime import environment
from stages.runtime.options import Options, parse_or_exit
from stages.runtime.places import make_private
from tsn.workers.parent import end_with_parent

T = TypeVar("T")
SYNC, LATER = "TSN_SYNC", "later"  # who logs finished results: see `log_finished`
TRANSIENT_ERRNOS = {errno.EAGAIN, errno.EIO, errno.ENOMEM, errno.ESTALE}
# PyTorch's words, as its errors have no common class: for a GPU, a loader that was killed.
TRANSIENT_WORDS = ("CUDA", "cuDNN", "CUBLAS", "NCCL", "DataLoader worker", "can't allocate memory")


def run(doc: str | None, cls: type[Options], main: Callable[[Options], None]) -> None:
    """Run `main` with the options of the command line, as `guarded` says; end with its parent.

    doc: the program's docstring, for its help.
    """
    environment.prepare()
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    prog = sys.argv[0] if spec is None else f"python -m {spec.name}"
    options = parse_or_exit(cls, sys.argv[1:], prog, doc or "")
    end_with_parent()
    make_private(Path())
    guarded(Path(sys.argv[0]).stem, lambda: main(options))


def guarded(name: str, main: Callable[[], None]) -> None:
    """Run a program's `main`; an expected error is one line behind its name, and code 1.

    What may pass by itself (a GPU out of memory, a lost connection) has exit code EX_TEMPFAIL, 75:
    whoever started the program may try again. Nothing else is worth it.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # or each request to Prefect is a line
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` clauses run
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"\n{name}: {_plain(error)}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if is_transient(error) else 1)
    except Exception as error:
        if not is_transient(error):
            raise
        traceback.print_exc()
        sys.exit(os.EX_TEMPFAIL)
    finally:
        # Python's own end would print SystemExit with a traceback; and while the handler is taken
        # away, a signal that has just come, unless it waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def log_finished() -> None:
    """Have what is finished, and this stage, logged to MLflow, in a process of its own.

    Not where whoever started this stage does that later (TSN_SYNC=later), as `tsn repro` and the
    grid do: this is for those who type `dvc repro` or `dvc exp run`.
    """
    if os.environ.get(SYNC) == LATER or "DVC_STAGE" not in os.environ:
        return
    name = sys.modules["__main__"].__spec__
    if name is not None:
        this = shlex.join(["python", "-m", name.name, *sys.argv[1:]])
        subprocess.run([sys.executable, "-m", "stages.operate.sync", "--also", this])


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed at another moment: nothing is wrong with it."""
    if isinstance(error, OSError):
        return isinstance(error, (ConnectionError, TimeoutError)) or error.errno in TRANSIENT_ERRNOS
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in TRANSIENT_WORDS)
    )


def _plain(error: Exception) -> str:
    """Return the error's own text, without the traceback that a loader process puts around it."""
    text = str(error)
    if not (text.startswith("Caught ") and "Original Traceback" in text):
        return text
    name = f"{type(error).__name__}: "
    return text[text.rindex(name) + len(name) :].strip() if name in text else text


def progress(
    items: Iterable[T],
    *,
    total: int | None,
    unit: str,
    text: str,
    initial: int = 0,
    beside: Callable[[], Mapping[str, str]] = dict,
) -> Iterator[T]:
    """Yield the items; show a bar with rate and time left on a terminal, nothing elsewhere.

    beside: what else the bar shows, asked after each item.
    """
    bar = tqdm(
        items,
        total=total,
        unit=unit,
        desc=text,
        initial=initial,
        disable=None,
        dynamic_ncols=True,
        smoothing=0.1,
    )
    for item in bar:
        yield item
        if not bar.disable:
            bar.set_postfix(beside(), refresh=False)


@contextmanager
def byte_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Give what to call with a file's name, its bytes so far and in all: a bar for each file."""
    bars: dict[str, tqdm[Any]] = {}

    def report(name: str, have: int, total: int) -> None:
        if name not in bars:
            bars[name] = tqdm(
                desc=name,
                total=total or None,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=None,
                dynamic_ncols=True,
            )
        bars[name].update(have - bars[name].n)

    try:
        yield report
    finally:
        for bar in bars.values():
            bar.close()
