"""The search for keys finds them however they are spelt, and finds none after every trouble that a key can be
in.

The fixture `whole_road` searches too, at the end, over everything that the tests of a process left behind.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.end_to_end.road import Push, Road
from tests.end_to_end.search import HOMES, issued, places, spellings, where
from tests.end_to_end.written import Request, new_team

PLACES: dict[str, Callable[[str], bytes]] = {
    "in plain": lambda key: f"the key {key}.".encode(),
    "cut off": lambda key: f"the key {key[:16]}…".encode(),
    "in a URL": lambda key: f"https://host/?code={urllib.parse.quote(key)}".encode(),
    "in hexadecimal": lambda key: b"0x" + key.encode().hex().encode(),
    "in a message kept in base64": lambda key: base64.b64encode(json.dumps({"key": key}).encode()),
    "in such a message, shifted by one": lambda key: base64.b64encode(json.dumps({"key1": key}).encode()),
    "in such a message, shifted by two": lambda key: base64.urlsafe_b64encode(
        json.dumps({"key12": key}).encode()
    ),
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
    assert not any(
        spelling in letter.body + str(letter.about).encode() for key in keys for spelling in spellings(key)
    )
    assert places(road.stack.folder) == HOMES


def go_through_every_trouble(road: Road, team: str, refused: str) -> None:
    """Answers that carry keys, or follow a call that did, get lost or come as errors; keys change hands and
    are regenerated.
    """
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
    assert Counter(faults) == Counter(
        (call.kind, call.status) for call in road.stack.control.calls() if call.status in (0, 400, 500)
    )


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
