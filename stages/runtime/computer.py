"""The computer and the libraries that made a result, in words."""

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = {  # by the name that people know, the distribution
    "PyTorch": "torch",
    "OpenCV": "opencv-contrib-python-headless",
    "decord": "decord2",
    "NumPy": "numpy",
    "DVC": "dvc",
    "MLflow": "mlflow",
}


def describe_computer() -> dict[str, str]:
    """Return the device that this process computes on, and the versions that it computes with."""
    versions = {"Python": platform.python_version()}
    for name, distribution in LIBRARIES.items():
        with suppress(PackageNotFoundError):
            versions[name] = version(distribution)
    return {
        "device": _gpu() or _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _gpu() -> str:
    """Return the name of the GPU in use, if one is."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    return str(torch.cuda.get_device_name())


def _cpu() -> str:
    """Return the processor's name, and how many cores of it there are."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(models, name)
    cores = os.cpu_count() or 1
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"
