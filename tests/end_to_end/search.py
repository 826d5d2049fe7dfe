"""A key is in API Management and in the vault, and nowhere else: the search for it, over everything that a
run of the tests has written.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

#: The only places where a key may be, as the stand-ins keep their state.
HOMES = {"resource-manager.sqlite", "key-vault.sqlite"}
#: What all spellings are made of.
_RUN = re.compile(rb"[A-Za-z0-9+/_%-]{16,}")


def spellings(key: str) -> set[bytes]:
    """The key's halves, since a truncated key is a leak too: plain, URL-encoded, hexadecimal, and base64
    wherever they begin in it.
    """
    raw = key.encode()
    halves = (raw[: len(raw) // 2], raw[len(raw) // 2 :])
    plain = {
        form
        for half in halves
        for form in (half, urllib.parse.quote_from_bytes(half, safe="").encode(), half.hex().encode())
    }
    return plain | {form for half in halves for form in _in_base64(half)}


def _in_base64(text: bytes) -> Iterator[bytes]:
    """The digits that hold nothing but the text, for each of the three places where it can begin in a group
    of three bytes.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text)
        known = encoded[(0, 2, 3)[before] : (before + len(text)) * 8 // 6]
        yield from (known, known.replace(b"+", b"-").replace(b"/", b"_"))


def where(keys: Iterable[str], files: Iterable[Path]) -> set[Path]:
    """The files in which one of the keys is spelt."""
    wanted = {spelling[:16] for key in keys for spelling in spellings(key)}
    return {file for file in files if _holds(_content(file), wanted)}


def _content(file: Path) -> bytes:
    """Nothing, where a file has gone meanwhile: other processes write theirs under a passing name first."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _holds(content: bytes, wanted: set[bytes]) -> bool:
    """Every spelling has 16 bytes or more, so the windows of 16 bytes are compared with a set: there may be
    thousands of spellings. Logs repeat themselves: each run is looked at once.
    """
    runs = set(_RUN.findall(content))
    return any(run[at : at + 16] in wanted for run in runs for at in range(len(run) - 15))


def issued(folder: Path) -> set[str]:
    """Every key that there is or was: of all subscriptions, and of all versions of all secrets."""
    subscriptions = _rows(folder / "resource-manager.sqlite", "subscriptions")
    secrets = [row for row in _rows(folder / "key-vault.sqlite", "secrets") if row["name"].endswith("-key")]
    keys = {row["hidden"][which] for row in subscriptions for which in ("primaryKey", "secondaryKey")}
    return keys | {version["value"] for row in secrets for version in row["versions"]}


def _rows(path: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return [json.loads(value) for (value,) in database.execute(f"SELECT value FROM {table}")]


def places(folder: Path) -> set[str]:
    """The files that hold a key which was issued in the stand-ins of this folder; those of SQLite's log count
    as the database.
    """
    found = where(issued(folder), written_files(folder))
    return {os.path.relpath(path, folder).removesuffix("-wal") for path in found}


def written_files(folder: Path) -> Iterator[Path]:
    """The logs, the state of all stand-ins, both ends of Git, and whatever the app has written beside its
    code meanwhile.
    """
    begin = (folder / "ca.pem").stat().st_mtime
    yield from (path for path in folder.rglob("*") if path.is_file())
    for entry in ROOT.iterdir():
        files = [entry] if entry.is_file() else entry.rglob("*") if not entry.name.startswith(".") else []
        yield from (path for path in files if path.is_file() and _changed(path) >= begin)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # as in `_content`
        return 0.0
