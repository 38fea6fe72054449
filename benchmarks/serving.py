"""What `tsn serve` answers a second, beside the recogniser alone.

    tsn promote synthetic
    python benchmarks/serving.py synthetic --project .

The project is finished, and its newest recogniser is the dataset's champion. First the recogniser
looks at 200 clips, one after the other. Then four clients send the server 50 of them each, as forms
with a file, twice: the first round warms up. The last line is JSON: `requests_per_s`, `own_per_s`,
`throughput_over_own`, how many answers were no 200, and the MiB that the server's processes held
before and after the second round.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import psutil
import requests

from stages.runtime.machine import choose_device, this_machine
from tsn.recogniser.recogniser import load_recogniser

READY_SECONDS = 120


def main() -> None:
    """Measure, print a line for each, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--project", type=Path, default=Path(), help="where it was made")
    parser.add_argument("--clients", type=int, default=4, help="that ask at once")
    parser.add_argument("--requests", type=int, default=50, help="of each client")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    found = sorted((project / "data" / arguments.dataset / "videos").glob("*/*"))
    if not found:
        parser.error(f"{project} has no videos of {arguments.dataset}: run `tsn repro` there")
    clips = list(islice(cycle(found), arguments.clients * arguments.requests))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    own = own_rate(project / "recognisers" / arguments.dataset, clips)
    print(f"the recogniser alone: {own:.2f} videos/s", flush=True)
    with served(project, arguments.dataset) as (address, server):
        ask(address, clips, arguments.clients)
        before = memory(server)
        start = time.perf_counter()
        answers = ask(address, clips, arguments.clients)
        rate = len(clips) / (time.perf_counter() - start)
        after = memory(server)
    print(f"{arguments.clients} clients: {rate:.2f} requests/s")
    figures = {
        "requests_per_s": round(rate, 2),
        "own_per_s": round(own, 2),
        "throughput_over_own": round(rate / own, 2),
        "not_200": sum(status != 200 for status in answers),
        "memory_mib": [round(before), round(after)],
    }
    print(json.dumps(figures))


def own_rate(folder: Path, clips: Sequence[Path]) -> float:
    """Return how many clips a second the loaded recogniser looks at, one after the other."""
    recogniser = load_recogniser(folder, choose_device(this_machine(None)))
    recogniser.warm_up()
    start = time.perf_counter()
    for clip in clips:
        recogniser.look(clip)
    return len(clips) / (time.perf_counter() - start)


@contextmanager
def served(project: Path, dataset: str) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address of the champion's server, and the process that holds it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flows.cli", "serve", dataset, "--port", f"{port}"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"{address}/ping", process)
        yield f"{address}/recognise", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until an address answers; leave if the server ends before, or never answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    sys.exit("the server did not come up")


def ask(address: str, clips: Sequence[Path], clients: int) -> list[int]:
    """Return the status of each answer to so many clients, who ask at once."""

    def one(client: int) -> list[int]:
        with requests.Session() as session:
            statuses = []
            for clip in clips[client::clients]:
                files = {"video": (clip.name, clip.read_bytes())}
                statuses.append(session.post(address, files=files, timeout=300).status_code)
            return statuses

    with ThreadPoolExecutor(clients) as pool:
        return [status for statuses in pool.map(one, range(clients)) for status in statuses]


def memory(server: psutil.Process) -> float:
    """Return the MiB that the server's processes hold, shared pages counted in each."""
    processes = [server, *server.children(recursive=True)]
    return sum(process.memory_info().rss for process in processes) / 2**20


if __name__ == "__main__":
    main()
