"""The state of a set of stand-ins, put aside and brought back.

The state is the SQLite files and the repositories in the folder; certificates, keys and ports are not part of
it. Servers hold their state in memory, so whoever brings another state back must start them again:
`standins.run` replaces its own process.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

_FOLDERS = ("repositories",)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


def take(folder: Path, name: str) -> None:
    """Copy the state as it is now. An older snapshot of that name is replaced."""
    target = _place(folder, name)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in folder.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target / path.name)) as copy:
            source.backup(copy)
    for each in _FOLDERS:
        if (folder / each).exists():
            shutil.copytree(folder / each, target / each, symlinks=True)


def bring_back(folder: Path, name: str | None) -> None:
    """Replace the state by that of the snapshot, or by none at all. No server may be using it."""
    for path in [*folder.glob("*.sqlite*"), *(folder / each for each in _FOLDERS)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if name is not None:
        shutil.copytree(_place(folder, name), folder, symlinks=True, dirs_exist_ok=True)


def exists(folder: Path, name: str) -> bool:
    return _place(folder, name).is_dir()


def _place(folder: Path, name: str) -> Path:
    """Raises ValueError for a name that could lead out of the folder."""
    if not _NAME.fullmatch(name):
        raise ValueError("a snapshot's name has small letters, digits and dashes")
    return folder / "snapshots" / name
