"""What stands for `python` in the programs that tests start: asks the warm python to run them.

    python -I -S warm_client.py PYTHON FOLDER [ARGUMENT ...]

Nothing is imported that a start would wait for. The first starts the warm python, and all wait
until it has loaded the libraries. What is not for it, python itself runs. See `warm_python.py`.
"""

import array
import fcntl
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")  # what libraries read when they are loaded
LIGHT, FULL = "light", "full"  # which warm python: the names of their sockets
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KNOWN_VARIABLES = (
    *("PYTHONPATH", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"),
)


def main(python: str, folder: str, arguments: list[str]) -> None:
    connection = None
    if can_be_warm(arguments):
        connection = connect(python, os.path.join(folder, kind(arguments)))
    if connection is None:
        os.execv(python, [python, *arguments])
    send(connection, arguments)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: connection.send(bytes([number])))
    answer = connection.recv(4, socket.MSG_WAITALL)
    if len(answer) < 4:
        sys.exit("the warm python has ended")
    code = int.from_bytes(answer, "big", signed=True)
    if code < 0:  # it was ended by a signal, and so is this one
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def can_be_warm(arguments: list[str]) -> bool:
    """Return whether it is a module or a file, without an option of python's, on Linux."""
    if not hasattr(os, "pidfd_open"):
        return False
    variables = {name for name in os.environ if name.startswith("PYTHON")} - {*KNOWN_VARIABLES}
    first = arguments[:1] or ["-"]
    return not variables and (first == ["-m"] or not first[0].startswith("-"))


def kind(arguments: list[str]) -> str:
    """Return which warm python is for it: files need few libraries, but for commands of those."""
    few = arguments[0].endswith((".py", "/dvc"))
    return LIGHT if few else FULL


def connect(python: str, address: str) -> "socket.socket | None":
    """Return a connection to the warm python, which is started and waited for; None if it fails."""
    started = False
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(OSError):
            connection.connect(address)
            return connection
        connection.close()
        lock = os.open(f"{address}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is loading
            time.sleep(0.1)
        else:
            if started:
                return None
            start_server(python, address, lock)
            started = True
        os.close(lock)


def start_server(python: str, address: str, lock: int) -> None:
    """Start the warm python. It ends when nobody holds the pipe of the test run open."""
    if os.fork():
        return
    os.setsid()
    os.set_inheritable(lock, True)  # held as long as it lives
    folder = os.path.dirname(address)
    os.dup2(os.open(f"{folder}/held", os.O_RDONLY | os.O_NONBLOCK), 0)
    with suppress(BlockingIOError):  # as long as somebody holds it open
        if not os.read(0, 1):
            os._exit(0)
    os.set_blocking(0, True)
    log = os.open(f"{address}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    server = os.path.join(os.path.dirname(os.path.abspath(__file__)), "warm_python.py")
    words = [python, server, address, os.path.join(folder, "bin/python")]
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    os.execve(python, words, {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})


def send(connection: socket.socket, arguments: list[str]) -> None:
    mask = os.umask(0)
    os.umask(mask)
    request = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": mask,
    }
    data = json.dumps(request).encode()
    standard = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    connection.sendmsg([len(data).to_bytes(4, "big")], standard)
    connection.sendall(data)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
