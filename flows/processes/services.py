"""Programs that serve until Ctrl-C: started together, watched, ended together."""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import psutil

from flows.processes.holders import describe
from flows.processes.programs import BINARIES, ProgramError, run_logged
from stages.runtime.places import LOGS

HOST = "127.0.0.1"
START_SECONDS = 180.0
# When a program ends more often than that in so many seconds, all are stopped.
OFTEN = 8
OFTEN_SECONDS = 600.0
PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0


class Services:
    """Programs that run together; one that ends is started again, one that goes on so ends all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(8)
        self._commands: dict[str, Sequence[str]] = {}
        self._running: dict[Future[int], str] = {}
        self._ends: dict[str, list[float]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start one; what it prints goes to `.tsn/logs/<name>.log`."""
        self._commands[name] = [str(BINARIES / command[0]), *command[1:]]
        self._log(name).unlink(missing_ok=True)
        self._submit(name)

    def _submit(self, name: str, pause: float = 0.0) -> None:
        self._running[self._threads.submit(self._run, name, pause)] = name

    def _run(self, name: str, pause: float) -> int:
        self._stop.wait(pause)
        command, log = self._commands[name], self._log(name)
        return run_logged(command, self._root, log, append=True, stop=self._stop)[0]

    def _log(self, name: str) -> Path:
        return self._root / LOGS / f"{name}.log"

    def wait_for(self, url: str) -> None:
        """Return when the address answers; ProgramError when a program ends before it does."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, code in self._ended(0.5):
                raise self._error(name, code)
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                continue
        raise ProgramError(f"{url} did not answer in {START_SECONDS:.0f} s")

    def keep(self) -> None:
        """Start again whatever ends; ProgramError when that happens too often to be of use."""
        while True:
            for name, code in self._ended(3600.0):
                now = time.monotonic()
                recent = [end for end in self._ends.get(name, []) if end > now - OFTEN_SECONDS]
                self._ends[name] = [*recent, now]
                if len(self._ends[name]) > OFTEN:
                    raise self._error(name, code)
                print(f"the {name} ended with {code}: starting it again", flush=True)
                # What it needs may have ended with it, and takes its time to come back.
                pause = min(PAUSE_SECONDS * 2 ** len(recent), LONGEST_PAUSE_SECONDS)
                self._submit(name, pause)

    def _ended(self, seconds: float) -> Iterator[tuple[str, int]]:
        """Yield name and exit code of what has ended, after a wait of so long for the first."""
        for future in wait(self._running, seconds, FIRST_COMPLETED).done:
            yield self._running.pop(future), future.result()

    def _error(self, name: str, code: int) -> ProgramError:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "nothing"
        return ProgramError(
            f"the {name} ended with {code}; it said last: {said}\n({self._log(name)})"
        )

    def stop(self) -> None:
        """End all of them and wait until they are gone."""
        self._stop.set()
        self._threads.shutdown()


def require_free(port: int, option: str) -> None:
    """Raise ProgramError if the port cannot be listened on: what answers there would not be ours.

    It says who holds the port, if that can be known, and the option that takes another.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise ProgramError(
                f"port {port} is the system's: choose one above 1023 by {option}"
            ) from error
        except OSError as error:
            raise ProgramError(
                f"port {port} is taken by {_listener(port)}: stop that, or choose another port by "
                f"{option}"
            ) from error


def _listener(port: int) -> str:
    """Return who listens on a port; the system tells it of a user's own programs only."""
    try:
        for row in psutil.net_connections("tcp"):
            if row.status == psutil.CONN_LISTEN and row.laddr.port == port and row.pid:
                return describe(row.pid)
    except psutil.Error:  # macOS tells no one but root
        return "another program"
    return "a program of another user or of the system"
