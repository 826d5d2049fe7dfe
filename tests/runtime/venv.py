"""A virtual environment with Microsoft's own Python worker runtime: `python -m tests.runtime.venv` makes it
and prints its interpreter.

It needs Python 3.13 or newer, since the runtime does. Exit status 3, with the reason on standard error, when
it cannot be had.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / ".runtime-venv"
#: Pinned, since the tests call its internal functions.
RUNTIME = "azure-functions-runtime==1.3.0"

_PROBE = "import sys, venv, ensurepip; print(sys.version_info >= (3, 13))"


class UnavailableError(Exception):
    """The environment cannot be made here; the message says why."""


def interpreter() -> Path:
    """The interpreter of the environment, which is made anew when the requirements have changed."""
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "requirements.sha256"
    with (ROOT / "requirements.txt").open("rb") as requirements:
        fcntl.flock(requirements, fcntl.LOCK_EX)  # of several processes one makes it, and the others wait
        wanted = hashlib.sha256(requirements.read() + RUNTIME.encode()).hexdigest()
        if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
            _make(python)
            stamp.write_text(wanted)
    return python


def _make(python: Path) -> None:
    base = next(filter(_suitable, _candidates()), None)
    if base is None:
        raise UnavailableError(
            "Microsoft's worker runtime needs Python 3.13 or newer: install one, or name it in RUNTIME_PYTHON"
        )
    _run(base, "-m", "venv", "--clear", str(FOLDER))
    # Uncompiled: of the thousands of files a few are imported, and those are compiled then.
    pip = (str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
    _run(*pip, "-r", str(ROOT / "requirements.txt"), RUNTIME)


def _candidates() -> Iterator[str]:
    """Interpreters that may be new enough, best first."""
    if named := os.environ.get("RUNTIME_PYTHON"):
        yield named
    yield from (sys.executable, "python3.13", "python3.14", "python3")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(path) for path in sorted(versions.glob("*/bin/python"), reverse=True))


def _suitable(python: str) -> bool:
    """Whether it runs, is new enough and can make environments. Running it is the only test that a broken
    shim does not pass.
    """
    try:
        done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "True"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    try:
        print(interpreter())
    except UnavailableError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
