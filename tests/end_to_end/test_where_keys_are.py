"""A key is in API Management and in the vault, and nowhere else. Runs last, over everything that the other tests left behind."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.end_to_end.road import Push, Road
from tests.end_to_end.written import Request, new_team

#: The only places where a key may be, as the stand-ins keep their state.
HOMES = {"resource-manager.sqlite", "key-vault.sqlite"}
#: What all spellings are made of.
_RUN = re.compile(rb"[A-Za-z0-9+/_%-]{16,}")


def spellings(key: str) -> set[bytes]:
    """The key's halves, since a truncated key is a leak too: plain, URL-encoded, hexadecimal, and base64 wherever they begin in it."""
    raw = key.encode()
    halves = (raw[: len(raw) // 2], raw[len(raw) // 2 :])
    plain = {form for half in halves for form in (half, urllib.parse.quote_from_bytes(half, safe="").encode(), half.hex().encode())}
    return plain | {form for half in halves for form in _in_base64(half)}


def _in_base64(text: bytes) -> Iterator[bytes]:
    """The digits that hold nothing but the text, for each of the three places where it can begin in a group of three bytes."""
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
    """Every spelling has 16 bytes or more, so the windows of 16 bytes are compared with a set: there may be thousands of spellings."""
    runs = (found[0] for found in _RUN.finditer(content))
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


def written_files(road: Road) -> Iterator[Path]:
    """The logs, the state of all stand-ins, both ends of Git, and whatever the app has written beside its code meanwhile."""
    begin = (road.stack.folder / "ca.pem").stat().st_mtime
    yield from (path for path in road.stack.folder.rglob("*") if path.is_file())
    for entry in ROOT.iterdir():
        files = [entry] if entry.is_file() else entry.rglob("*") if not entry.name.startswith(".") else []
        yield from (path for path in files if path.is_file() and _changed(path) >= begin)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # as in `_content`
        return 0.0


PLACES: dict[str, Callable[[str], bytes]] = {
    "in plain": lambda key: f"the key {key}.".encode(),
    "cut off": lambda key: f"the key {key[:16]}…".encode(),
    "in a URL": lambda key: f"https://host/?code={urllib.parse.quote(key)}".encode(),
    "in hexadecimal": lambda key: b"0x" + key.encode().hex().encode(),
    "in a message kept in base64": lambda key: base64.b64encode(json.dumps({"key": key}).encode()),
    "in such a message, shifted by one": lambda key: base64.b64encode(json.dumps({"key1": key}).encode()),
    "in such a message, shifted by two": lambda key: base64.urlsafe_b64encode(json.dumps({"key12": key}).encode()),
}


@pytest.mark.parametrize("spell", PLACES.values(), ids=PLACES.keys())
def test_the_search_finds_a_key(tmp_path: Path, spell: Callable[[str], bytes]) -> None:
    key = uuid.uuid4().hex
    (tmp_path / "leak").write_bytes(bytes(range(256)) + spell(key))
    (tmp_path / "other").write_bytes(bytes(range(256)) + spell(uuid.uuid4().hex))
    assert where([key], tmp_path.iterdir()) == {tmp_path / "leak"}


def test_keys_are_in_api_management_and_in_the_vault_and_nowhere_else(road: Road, team: str) -> None:
    refused = new_team()
    go_through_every_trouble(road, team, refused)
    log = (road.stack.folder / "functions-host.log").read_text()
    assert " DEBUG azure." in log, "the search means little unless everything is logged"
    (letter,) = road.dead_letters(refused)
    assert letter.about["reason"] == "Rejected"
    keys = issued(road.stack.folder)
    assert {*road.issued_keys(team), *road.issued_keys(refused)} < keys
    assert not any(spelling in letter.body + str(letter.about).encode() for key in keys for spelling in spellings(key))
    found = {path.relative_to(road.stack.folder).as_posix().removesuffix("-wal") for path in where(keys, written_files(road))}
    assert found == HOMES


def go_through_every_trouble(road: Road, team: str, refused: str) -> None:
    """Answers that carry keys, or follow a call that did, get lost or come as errors; keys change hands and are regenerated."""
    listing, regenerating = "POST subscription listSecrets", "POST subscription regeneratePrimaryKey"
    faults = [("PUT subscription", 500), (listing, 0), ("PUT secret", 500), ("PUT secret", 0)]
    break_after(road, faults)
    road.clone.write(Request(team, str(uuid.uuid4())))
    become_good(road, road.push("Access, with trouble"), team)
    before = road.issued_keys(team)
    road.clone.remove(team)
    road.push("Withdrawn")
    faults += (more := [(regenerating, 500), ("PUT subscription", 0)])
    break_after(road, more)
    road.clone.write(Request(team, str(uuid.uuid4())))
    become_good(road, road.push("Back, in other hands"), team)
    assert not set(before) & set(road.issued_keys(team))
    faults += (more := [("PUT subscription", 400)] * 2)
    break_after(road, more)
    road.clone.write(Request(refused))
    road.status(road.push("Refused"), refused, "keys", "failure")
    assert Counter(faults) == Counter((call.kind, call.status) for call in road.stack.control.calls() if call.status in (0, 400, 500))


def break_after(road: Road, faults: Iterable[tuple[str, int]]) -> None:
    """A call of each kind takes effect, and is answered with this status; 0 closes the connection instead."""
    for kind, status in faults:
        server = "key-vault" if kind.endswith("secret") else "resource-manager"
        road.stack.control.fault(server, kind, when="after", status=status)


def become_good(road: Road, push: Push, team: str) -> None:
    for _ in range(4):
        road.advance(60)
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)
