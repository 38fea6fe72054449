"""Who it is that runs: a process in words, and whether it is still the one that was meant."""

import time
from pathlib import Path

import psutil

PROGRAMS = {
    "dvc": "dvc",
    "tsn": "tsn",
    "flows.cli": "tsn",
    "prefect": "prefect",
    "mlflow": "mlflow",
}
LETTERS = 120  # of a command, that a line has room for
CLOCK_SECONDS = 60.0  # that a process may seem younger than it is, after the clock was set


def describe(pid: int) -> str:
    """Return its number, its command and since when it runs, as far as that can be known."""
    try:
        process = psutil.Process(pid)
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(process.create_time()))
        return f"pid {pid} ({_shortened(process.cmdline())}), since {began}"
    except psutil.Error:
        return f"pid {pid}"


def is_running(pid: int, command: str, noted: float) -> bool:
    """Return whether the process is there that was noted then, with `sys.argv` as its command.

    Its number may be another program's by now. What cannot be known counts as yes.
    """
    try:
        process = psutil.Process(pid)
        if (
            process.status() == psutil.STATUS_ZOMBIE
            or process.create_time() > noted + CLOCK_SECONDS
        ):
            return False
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    arguments = command.partition(" ")[2]
    return " ".join(words).endswith(arguments) or any(Path(w).name == "dvc" for w in words)


def _shortened(words: list[str]) -> str:
    """Return a command without the interpreter and the path of its program, and not too long."""
    for number, word in enumerate(words[:4]):
        if (name := PROGRAMS.get(Path(word).name)) is not None:
            words = [name, *words[number + 1 :]]
            break
    line = " ".join(words)
    return line if len(line) <= LETTERS else f"{line[:LETTERS]} ..."
