"""Stages as programs: how they fail, stop and end, seen from outside."""

import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader, Dataset
from workspace import ROOT

from stages.runtime import command
from tsn.streams.archives import ArchiveError

STAGE = """
import sys, time
from dataclasses import dataclass
from stages.runtime import command
from stages.runtime.options import StageOptions, option

@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    count: int = option("how many", default=1)

def main(options):
    {body}

sys.argv[0] = "stage.py"
command.run("stage: a toy.", Options, main)
"""
SECONDS = 120.0  # against hanging
WAITING = """try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("cleaned", flush=True)"""
# Starts a stage that shares its output, and waits for it.
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(body: str, *arguments: str) -> tuple[int, str, str]:
    with start(STAGE.format(body=body), *arguments) as process:
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err


def test_finished_stage_is_quiet() -> None:
    assert run("print(options.count)", "--count", "3") == (0, "3\n", "")


@pytest.mark.parametrize("error", ["ValueError", "FileNotFoundError", "FloatingPointError"])
def test_expected_error_is_one_readable_line(error: str) -> None:
    code, _, err = run(f"raise {error}('a.csv line 3: unknown class Foo')")
    assert code == 1
    assert err == "\nstage: a.csv line 3: unknown class Foo\n"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("RuntimeError('CUDA error: unspecified launch failure')", 75),
        ("RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')", 75),
        ("MemoryError()", 75),
        ("ConnectionResetError('gone')", 75),
        ("OSError(5, 'Input/output error')", 75),
        ("OSError(28, 'No space left on device')", 1),
        ("RuntimeError('shapes differ')", 1),
        ("ValueError('CUDA is no dataset')", 1),
    ],
)
def test_what_may_pass_by_itself_has_an_exit_code_of_its_own(error: str, expected: int) -> None:
    code, _, err = run(f"raise {error}")
    assert code == expected
    assert err


def test_unexpected_error_shows_where_it_was() -> None:
    code, _, err = run("raise KeyError('bug')")
    assert code == 1
    assert "Traceback" in err
    assert err.endswith("KeyError: 'bug'\n")


def test_wrong_argument_is_refused_with_the_usage() -> None:
    code, _, err = run("pass", "--count", "many")
    assert code == 2
    assert err.startswith("usage: stage")
    assert "invalid int value: 'many'" in err


def test_terminated_stage_cleans_up() -> None:
    with start(STAGE.format(body=WAITING)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (143, "cleaned\n", "")


LINGERING = """import atexit
    atexit.register(time.sleep, 600)
    atexit.register(print, "done", flush=True)"""


def test_stage_that_is_terminated_when_it_is_done_says_nothing() -> None:
    with start(STAGE.format(body=LINGERING)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (-signal.SIGTERM, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_stage_ends_with_its_parent_even_by_kill_9() -> None:
    with start(PARENT, STAGE.format(body=WAITING)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        out, _ = parent.communicate(timeout=SECONDS)  # ends when the stage has closed its output
    assert out == "cleaned\n"


def test_progress_yields_everything_and_is_quiet_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = command.progress(iter("abc"), total=3, unit="it", text="train")
    assert list(items) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


class Broken(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise ArchiveError("stream/a.zip", "4 entries, the manifest says 5")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_error_of_a_loader_process_is_told_without_its_traceback() -> None:
    with pytest.raises(ArchiveError, match="Original Traceback") as caught:
        list(DataLoader(Broken(), batch_size=None, num_workers=1))
    assert command._plain(caught.value) == str(
        ArchiveError("stream/a.zip", "4 entries, the manifest says 5")
    )
    assert command._plain(ValueError("as it is")) == "as it is"
