"""git, asked without a terminal: what it prints, or its own words as the error."""

import os
import subprocess
from pathlib import Path

from flows.processes.programs import ProgramError
from stages.runtime.environment import SOCKS


def git(root: Path, *arguments: str) -> str:
    """Return what git prints; ProgramError with its words if it fails, or asks for a password."""
    socks = {"ALL_PROXY": proxy} if (proxy := os.environ.get(SOCKS)) else {}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **socks},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        where = "is not installed" if root.is_dir() else f"cannot run in {root}: no such folder"
        raise ProgramError(f"git {where}") from None
    if done.returncode != 0:
        raise ProgramError(f"git {' '.join(arguments)}: {done.stderr.strip() or done.stdout}")
    return done.stdout.strip()
