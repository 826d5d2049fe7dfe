"""What is not ours on our queues harms nobody: it ends among the dead letters, byte for byte."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from standins.stack import wait_until
from tests.end_to_end.road import DeadLetter, Road

BODIES = {
    "text": b"Gr\xc3\xbc\xc3\x9fe, MARK",
    "JSON": b'{"specversion": "1.0", "id": "MARK"}',
    "of a later version": (
        b'{"specversion": "1.0", "type": "dev.mergekey.access-change.v99", "data": {"team": "MARK"}}'
    ),
    "with members named like properties": (
        b'{"SessionId": "", "DeliveryCount": "many", "EnqueuedTimeUtc": 7, "MessageId": "MARK"}'
    ),
    "nested too deeply": b"[" * 50_000 + b"MARK",
    "binary": b"\x00\xff\xfeMARK",
}


def send(road: Road, entity: str, body: bytes, session: str | None) -> bytes:
    """Send a body that is like no other, with the SDK, and return it."""
    marked = body.replace(b"MARK", uuid.uuid4().hex.encode())
    sender = road.sender("access-changes" if entity.startswith("provision-") else entity)
    sender.send_messages(ServiceBusMessage(marked, session_id=session, to=entity))
    return marked


def buried(road: Road, body: bytes) -> DeadLetter:
    """The dead letter with this body."""
    letters: list[DeadLetter] = wait_until(
        "it is a dead letter", lambda: [each for each in road.dead_letters() if each.body == body]
    )
    assert len(letters) == 1
    return letters[0]


@pytest.mark.parametrize("form", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_ours_is_kept_as_it_is(road: Road, form: bytes) -> None:
    letter = buried(road, send(road, "provision-gateway", form, "somebody"))
    about = {name: letter.about[name] for name in ("reason", "stage", "attempts", "session", "actor")}
    assert about == {
        "reason": "MalformedMessage",
        "stage": "provision-gateway",
        "attempts": 1,
        "session": "somebody",
        "actor": "the platform",
    }


@pytest.mark.parametrize(
    "entity", ["sweeps", "provision-catalog", "provision-gateway", "provision-workspaces", "deliver-keys"]
)
def test_every_stage_gives_up_a_message_that_is_not_ours(road: Road, entity: str) -> None:
    letter = buried(road, send(road, entity, b"MARK", "somebody"))
    assert (letter.about["reason"], letter.about["stage"]) == ("MalformedMessage", entity)


@pytest.mark.parametrize("form", [BODIES["text"], BODIES["binary"]], ids=["text", "binary"])
def test_what_the_broker_puts_aside_joins_the_same_list(road: Road, form: bytes) -> None:
    letter = buried(road, send(road, "provision-gateway", form, session=None))
    assert (letter.about["stage"], letter.about["session"]) == ("provision-gateway", "")
    assert "session" in letter.about["reason"].lower()


@pytest.mark.parametrize("session", ["somebody", None], ids=["by the stage", "from the broker"])
def test_a_body_that_is_too_large_becomes_a_letter_with_its_beginning(
    road: Road, session: str | None
) -> None:
    body = send(road, "provision-gateway", b"MARK".ljust(261_900 - 28, b"x"), session)
    letter = buried(road, body[:1024])
    assert (letter.about["body-size"], letter.about["body-sha256"]) == (
        len(body),
        hashlib.sha256(body).hexdigest(),
    )
    road.settle()
    assert [each.about["body-size"] for each in road.dead_letters() if each.body == body[:1024]] == [
        len(body)
    ]


def test_messages_without_ids_are_not_taken_for_each_other(road: Road) -> None:
    """The SDK gives an id to what it makes itself."""
    bodies = [uuid.uuid4().hex.encode() for _ in range(2)]
    for body in bodies:
        message = AmqpAnnotatedMessage(data_body=body, properties=AmqpMessageProperties(group_id="somebody"))
        road.sender("deliver-keys").send_messages(message)
    assert len({buried(road, body).about["message-id"] for body in bodies}) == 2


@pytest.mark.parametrize(
    "message_id", [uuid.UUID(int=7), 7, "a line\nWARNING Audit: ada"], ids=lambda each: type(each).__name__
)
def test_an_id_of_any_kind_is_told_as_text_on_one_line(road: Road, message_id: Any) -> None:
    marked = uuid.uuid4().hex.encode()
    properties = AmqpMessageProperties(message_id=message_id, group_id="somebody")
    road.sender("deliver-keys").send_messages(AmqpAnnotatedMessage(data_body=marked, properties=properties))
    assert buried(road, marked).about["message-id"] == str(message_id)
    log = (road.stack.folder / "functions-host.log").read_text()
    assert "\nWARNING Audit: ada" not in log
