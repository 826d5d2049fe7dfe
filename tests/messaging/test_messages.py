"""Messages on the bus: what is written is read back, anything else is malformed, and a text is proved by
Git's hash.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MalformedMessage, NewerMessage
from shared.git import blob_id
from shared.messaging.messages import AccessChange, DeadLetter, DeliverKeys, Message, Sweep, read_envelope
from tests.fakes.clock import START

SHA = "a" * 40
CHANGE = AccessChange(
    change="requested",
    team="alpha",
    path="x/alpha/access.yaml",
    commit=SHA,
    blob=blob_id(b"text"),
    text="text",
)


def _encoded(message: Message) -> bytes:
    return message.encode("d1/alpha", "/repositories/1", START)


def _altered(**data: Any) -> bytes:
    envelope = json.loads(_encoded(CHANGE))
    envelope["data"] |= data
    return json.dumps(envelope).encode()


@given(
    st.builds(
        AccessChange,
        change=st.sampled_from(["requested", "withdrawn"]),
        team=st.from_regex(r"[a-z][a-z0-9]{2,20}", fullmatch=True),
        path=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        commit=st.sampled_from([SHA, "b" * 64]),
        blob=st.sampled_from(["", SHA, "b" * 64]),
        text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        cause=st.sampled_from(["push", "sweep"]),
    )
)
def test_a_change_is_read_back(change: AccessChange) -> None:
    assert AccessChange.decode(_encoded(change)) == change


@pytest.mark.parametrize(
    "message",
    [CHANGE, DeliverKeys(**CHANGE.model_dump()), Sweep(why="a test", verdict=True)],
    ids=lambda m: type(m).__name__,
)
def test_the_envelope_is_a_cloud_event(message: Message) -> None:
    envelope = read_envelope(_encoded(message))
    assert {
        "specversion",
        "id",
        "type",
        "source",
        "time",
        "datacontenttype",
        "data",
        "subject",
    } == envelope.keys()
    assert (envelope["specversion"], envelope["type"], envelope["id"]) == ("1.0", message.TYPE, "d1/alpha")
    assert (envelope["subject"], envelope["time"]) == (message.session, "2026-03-02T09:00:00.000+00:00")
    assert type(message).decode(_encoded(message)) == message


@pytest.mark.parametrize("kind", [AccessChange, DeliverKeys, Sweep])
def test_every_field_says_what_it_is_called_on_the_bus(kind: type[Message]) -> None:
    assert [name for name, field in kind.model_fields.items() if field.alias is None] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        _encoded(Sweep(why="x")),
        _encoded(CHANGE).replace(b"change.v1", b"change.v0"),
        _encoded(CHANGE).replace(b"change.v1", b"change.v2.1"),
        _encoded(CHANGE).replace(b"change.v1", b"change.v20000"),
        _encoded(CHANGE).replace(b"access-change.v1", b"deliver-keys.v2"),
        _encoded(CHANGE)
        .replace(b"access-change.v1", b"access-change.v2")
        .replace(b"/repositories/1", b"/elsewhere"),
        _encoded(CHANGE).replace(b'"1.0"', b'"2.0"'),
        _encoded(CHANGE).replace(b'"1.0"', b'"2.0"').replace(b"change.v1", b"change.v2"),
        _altered(team="Alpha"),
        _altered(team=""),
        _altered(team=1),
        _altered(commit="HEAD"),
        _altered(commit=SHA.upper()),
        _altered(change=None),
        _altered(change=7, priority=1),
        _altered(blob="rotated"),
        _altered(commit="HEAD", priority=1),
        _altered(change="rotated", team="Alpha"),
        _altered(priority=1).replace(b"/repositories/1", b"/repositories/x"),
        _altered(priority=1).replace(b"/repositories/1", b"x"),
        _altered(text=None),
        _encoded(CHANGE).replace(b'"data":{', b'"data":[{').replace(b"}}", b"}]}"),
        b"[" * 200_000,
        b'{"specversion": 1e999}',
    ],
)
def test_everything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        AccessChange.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        _encoded(CHANGE).replace(b"change.v1", b"change.v2"),
        _encoded(CHANGE).replace(b"change.v1", b"change.v10"),
        _altered(team={"name": "alpha"}).replace(b"change.v1", b"change.v2"),
        _altered(priority=1),
        _altered(**{"a field\nwith a line": ["of", "any", "type"]}),
        _altered(change="rotated"),
        _altered(cause="preview", priority=None, change="rotated"),
    ],
)
def test_what_a_newer_version_wrote_is_no_garbage(body: bytes) -> None:
    with pytest.raises(NewerMessage) as refused:
        AccessChange.decode(body)
    assert "\n" not in str(refused.value)
    assert refused.value.actor == "nobody: it is tried again"


@pytest.mark.parametrize(
    "message", [DeliverKeys(**CHANGE.model_dump()), Sweep(why="a test")], ids=lambda m: type(m).__name__
)
def test_every_message_may_be_of_a_newer_version(message: Message) -> None:
    for newer in (
        _encoded(message).replace(b".v1", b".v2"),
        _encoded(message).replace(b'"data":{', b'"data":{"extra":1,'),
    ):
        with pytest.raises(NewerMessage):
            type(message).decode(newer)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    read_envelope(body)
    with pytest.raises(MalformedMessage):
        AccessChange.decode(body)


def test_a_malformed_message_is_not_quoted() -> None:
    for altered in (
        _altered(team="SECRET-TEXT"),
        _altered(change="SECRET-TEXT"),
        _altered(**{"0123456789abcdef" * 2: 1}),
    ):
        with pytest.raises((MalformedMessage, NewerMessage)) as refused:
            AccessChange.decode(altered)
        assert "SECRET-TEXT" not in str(refused.value)
        assert "0123456789abcdef" not in str(refused.value)


@pytest.mark.parametrize(
    "lone", ['{"specversion": "1.0", "type": "dev.mergekey.access-change.v1", "data": {"team": "\\ud800"}}']
)
def test_half_a_character_is_malformed(lone: str) -> None:
    with pytest.raises(MalformedMessage):
        AccessChange.decode(lone.encode())


@pytest.mark.parametrize(
    ("changed", "proved"),
    [
        ({}, True),
        ({"text": "other"}, False),
        ({"blob": ""}, False),
        ({"blob": SHA}, False),
        ({"blob": blob_id(b"text", 64)}, True),
    ],
    ids=str,
)
def test_a_text_counts_when_its_hash_is_the_blobs(changed: dict[str, str], proved: bool) -> None:
    assert CHANGE.model_copy(update=changed).content() == (b"text" if proved else None)


def test_a_blobs_id_is_gits(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes("grüß\n".encode())
    done = subprocess.run(
        ["git", "hash-object", "file"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert blob_id("grüß\n".encode()) == done.stdout.strip()
    assert blob_id(b"", 64) == hashlib.sha256(b"blob 0\0").hexdigest()


def test_what_is_known_of_a_dead_letter_is_read_back() -> None:
    letter = DeadLetter(
        "provision-gateway", "alpha", "Rejected", "why", "the platform", 3, "d1/alpha", "alpha", "d1/alpha", 2
    )
    properties = letter.properties()
    assert DeadLetter.of(properties) == letter
    assert properties["message-id"] == "d1/alpha"


def test_a_dead_letter_without_a_property_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="stage"):
        DeadLetter.of({})
