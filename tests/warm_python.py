"""Pythons that have loaded the libraries, and fork for each program that a test starts.

Half of the time of a test that runs the pipeline goes into loading PyTorch, MLflow and DVC, again
for each stage. With `warm_binaries` on the PATH a stage is a process of its own as ever, with its
own code of the project, and the libraries are there. One warm python has DVC alone: to fork the
one with everything takes longer than to load that. `warm_client.kind` says which is for a program.

The parent of a program is the warm python, and it is killed when the client in its place is; who
tests how processes end starts them without.
"""

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import warm_client

# None of the project. Prefect reads the environment when it is loaded: see `AsIfLoadedNow`.
LIBRARIES = {
    warm_client.LIGHT: (
        *("dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.plots", "dvc.repo.metrics"),
        *("dvc.repo.datasets", "dvc.repo.artifacts", "dvc.repo.open_repo", "dvc.data_cloud"),
        *("dvc.cachemgr", "dvc.stage.cache", "dvc.analytics", "dvc._debug", "pydot", "psutil"),
        *("dvc_data.hashfile.db.local", "dvc_data.index.checkout", "rich.console", "typer"),
    ),
    warm_client.FULL: (
        *("numpy", "pandas", "torch", "torchvision", "cv2", "scipy.stats", "matplotlib.figure"),
        *("sklearn.linear_model", "decord", "av", "safetensors.torch", "timm", "PIL.Image"),
        *("numba", "mlflow", "mlflow.pyfunc", "fastapi", "httpx", "typer", "rich.console"),
        *("pydantic_settings", "alembic", "uvicorn", "sqlalchemy.ext.asyncio", "jinja2"),
        *("websockets", "aiosqlite", "anyio", "ruamel.yaml", "psutil"),
        *("prefect", "prefect.flows"),
    ),
}
PREFECT = "prefect"
PROGRAMS = ("dvc", "tsn", "mlflow", "prefect")


def warm_binaries(folder: Path) -> Path:
    """Return a folder with `python` and `PROGRAMS`, which share the warm pythons."""
    binaries, real = folder / "bin", Path(sys.executable).parent
    if not binaries.is_dir():
        binaries.mkdir()
        start = f'exec "{sys.executable}" -I -S "{warm_client.__file__}" "{sys.executable}"'
        for name in ("python", *PROGRAMS):
            script = f' "{real / name}"' if name in PROGRAMS else ""
            text = f'#!/bin/sh\n{start} "{folder}"{script} "$@"\n'
            (binaries / name).write_text(text)
            (binaries / name).chmod(0o755)
    return binaries


def main(address: str, python: str) -> None:
    for name in LIBRARIES[Path(address).name]:
        importlib.import_module(name)
    gc.freeze()  # what is loaded stays, and a collection copies no page of it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    request = Server(listener).serve()
    end(lambda: run(request, python))


class Server:
    """Starts a process for each request, passes signals on to it, and tells how it ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._end_with_the_tests)
        self._pids: set[int] = set()

    def serve(self) -> Mapping[str, Any]:
        """Return the request in the process that is to do it, and never in this one."""
        while True:
            for key, _ in self._selector.select():
                if (request := key.data()) is not None:
                    return dict(request)

    def _accept(self) -> Mapping[str, Any] | None:
        connection, _ = self._listener.accept()
        try:
            request, standard = receive(connection)
        except (ValueError, OSError):  # the client was killed before it had asked
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._close_all(connection)
            for number, descriptor in enumerate(standard):
                os.dup2(descriptor, number)
        for descriptor in standard:
            os.close(descriptor)
        if pid == 0:
            return request
        self._pids.add(pid)
        handle = os.pidfd_open(pid)

        def pass_on() -> None:
            if pid not in self._pids:
                return  # it ended in this round
            number = b""
            with suppress(OSError):
                number = connection.recv(1)
            if not number:  # the client is gone
                self._selector.unregister(connection)
            os.kill(pid, number[0] if number else signal.SIGKILL)

        def tell() -> None:
            self._selector.unregister(handle)
            os.close(handle)
            self._pids.remove(pid)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with suppress(KeyError):
                self._selector.unregister(connection)
            with suppress(OSError):
                connection.sendall(code.to_bytes(4, "big", signed=True))
            connection.close()

        self._selector.register(connection, selectors.EVENT_READ, pass_on)
        self._selector.register(handle, selectors.EVENT_READ, tell)
        return None

    def _close_all(self, connection: socket.socket) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fd != 0:
                os.close(key.fd)
        self._selector.close()
        os.close(connection.detach())

    def _end_with_the_tests(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def receive(connection: socket.socket) -> tuple[Mapping[str, Any], list[int]]:
    """Return a request, and the standard files of its client. ValueError if they do not come."""
    standard = array.array("i")
    space = socket.CMSG_LEN(3 * standard.itemsize)
    head, ancillary, *_ = connection.recvmsg(4, space, socket.MSG_WAITALL)
    for _, _, data in ancillary:
        standard.frombytes(data)
    body = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    return json.loads(body), list(standard)


def run(request: Mapping[str, Any], python: str) -> None:
    """Do what python does with those arguments."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    through = bool(os.environ.get("PYTHONUNBUFFERED"))
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    for name, mode, number in (("stdin", "r", 0), ("stdout", "w", 1), ("stderr", "w", 2)):
        line = number > 0 and (through or number == 2 or os.isatty(number))
        file = open(  # noqa: SIM115
            *(number, mode, 1 if line else -1),
            encoding=encoding or "utf-8",
            errors="backslashreplace" if number == 2 else errors or "strict",
            closefd=False,
        )
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    arguments = list(request["arguments"])
    sys.executable, sys.orig_argv = python, [python, *arguments]
    sys.path[0:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    if PREFECT in sys.modules:
        sys.meta_path.insert(0, AsIfLoadedNow())
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        runpy.run_path(arguments[0], run_name="__main__")


class AsIfLoadedNow(MetaPathFinder, Loader):
    """Hides Prefect until a program imports it, and has it read the environment then."""

    def __init__(self) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] == PREFECT]
        self._modules = {name: sys.modules.pop(name) for name in names}
        self._spec = self._modules[PREFECT].__spec__

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """Return what stands for Prefect, the first time it is asked for."""
        if name != PREFECT or not self._modules:
            return None
        return spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return Prefect, whose other modules are there again, too."""
        modules, self._modules = self._modules, {}
        sys.modules.update(modules)
        return modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do what loading it does with the environment."""
        module.__spec__ = self._spec
        sys.modules["prefect.context"].refresh_global_settings_context()


def end(program: Callable[[], None]) -> NoReturn:
    """Run a program, and end as python does, but for freeing one by one what was loaded."""
    code: object = 0
    try:
        program()
    except SystemExit as error:
        code = error.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            file.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((code or 0) & 255)


if __name__ == "__main__":
    main(*sys.argv[1:])
