"""What both the fake and Service Bus do with what is sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import AccessDenied, TooLarge
from shared.messaging.messages import CONTENT_TYPE, DeadLetter
from shared.messaging.retry_state import MAX_MESSAGE_BYTES
from shared.messaging.routes import DEAD_LETTERS, DELIVER_KEYS, PROVISION_GATEWAY, SWEEP, TOPIC, Stage
from shared.ports import OutgoingMessage
from tests.contract.sides import BusSide, Seen, Watch, everywhere
from tests.contract.targets import unique


@pytest.fixture
def team() -> str:
    return unique("t")


def _message(team: str, number: int = 0, **changed: Any) -> OutgoingMessage:
    fields: dict[str, Any] = {
        "entity": TOPIC,
        "message_id": f"{team}/{number}",
        "body": b"{}",
        "session": team,
        "to": "all",
    }
    return OutgoingMessage(**fields | changed)


def _to_keys(team: str, number: int = 0, **changed: Any) -> OutgoingMessage:
    return _message(team, number, entity=DELIVER_KEYS.entity, to=None, **changed)


async def test_what_is_for_all_reaches_every_stage_and_what_is_for_one_only_that_one(
    bus: BusSide, team: str
) -> None:
    await bus.port.send(
        [_message(team), _message(team, 1, to="provision-gateway"), _message(team, 2, to="nobody")]
    )
    first, second = f"{team}/0", f"{team}/1"
    assert await everywhere(bus, team) == {
        "provision-catalog": [first],
        "provision-gateway": [first, second],
        "provision-workspaces": [first],
        "provision-projects": [first],
    }


async def test_a_message_arrives_as_it_was_sent(bus: BusSide, team: str) -> None:
    properties: dict[str, Any] = {"root": "d1/alpha", "sequence": 3, "waiting-for": "NodesNotReady"}
    body = '{"text": "grüß"}'.encode()
    await bus.port.send([_to_keys(team, body=body, properties=properties)])
    assert await bus.waiting(DELIVER_KEYS, team) == [Seen(f"{team}/0", body, team, properties, CONTENT_TYPE)]


async def test_messages_keep_their_order(bus: BusSide, team: str) -> None:
    await bus.port.send([_to_keys(team, number) for number in range(20)])
    assert [seen.message_id for seen in await bus.waiting(DELIVER_KEYS, team)] == [
        f"{team}/{number}" for number in range(20)
    ]


async def test_a_second_message_with_the_same_id_is_dropped(bus: BusSide, team: str) -> None:
    await bus.port.send([_to_keys(team), _to_keys(team)])
    await bus.port.send([_to_keys(team, body=b"again")])
    assert [seen.body for seen in await bus.waiting(DELIVER_KEYS, team)] == [b"{}"]


async def test_the_same_id_counts_again_when_the_window_is_over(
    bus: BusSide, team: str, clock: Watch
) -> None:
    await bus.port.send([_to_keys(team)])
    clock.advance(timedelta(minutes=11))
    await bus.port.send([_to_keys(team)])
    assert len(await bus.waiting(DELIVER_KEYS, team)) == 2


async def test_a_scheduled_message_is_there_when_it_is_due(bus: BusSide, team: str, clock: Watch) -> None:
    await bus.port.send([_message(team, to="provision-gateway", due=clock.now() + timedelta(minutes=30))])
    assert await bus.waiting(PROVISION_GATEWAY, team) == []
    await bus.port.send([_message(team, to="provision-gateway", body=b"a duplicate of what is scheduled")])
    clock.advance(timedelta(minutes=31))
    assert [seen.body for seen in await _first(bus, PROVISION_GATEWAY, team)] == [b"{}"]


async def _first(bus: BusSide, stage: Stage, session: str) -> list[Seen]:
    """What waits, as soon as something does: a broker takes a moment to see that the time has come."""
    for _ in range(600):
        if found := await bus.waiting(stage, session):
            return found
        await asyncio.sleep(0.05)
    return []


async def test_sessions_do_not_meet(bus: BusSide, team: str) -> None:
    other = unique("t")
    await bus.port.send([_to_keys(team), _to_keys(other)])
    assert [seen.session for seen in await bus.waiting(DELIVER_KEYS, other)] == [other]


async def test_one_send_reaches_several_entities(bus: BusSide, team: str) -> None:
    await bus.port.send(
        [_message(team), _to_keys(team), OutgoingMessage(SWEEP.entity, f"{team}/sweep", b"{}", session=team)]
    )
    found = await asyncio.gather(
        *(bus.waiting(stage, team) for stage in (PROVISION_GATEWAY, DELIVER_KEYS, SWEEP))
    )
    assert [len(here) for here in found] == [1, 1, 1]


async def test_nothing_to_send_is_no_trouble(bus: BusSide) -> None:
    await bus.port.send([])


async def test_a_dead_letter_needs_no_session_and_keeps_any_body(bus: BusSide, team: str) -> None:
    properties: dict[str, Any] = {"reason": "MalformedMessage"}
    await bus.port.send(
        [
            OutgoingMessage(
                DEAD_LETTERS,
                team,
                b"\xff\x00",
                properties=properties,
                content_type="application/octet-stream",
            )
        ]
    )
    [seen] = [seen for seen in await bus.dead_letters() if seen.message_id == team]
    assert seen == Seen(team, b"\xff\x00", None, properties, "application/octet-stream")


async def test_an_entity_that_is_not_there_is_an_error_of_the_platform(bus: BusSide, team: str) -> None:
    """The service says so when a token is put for the entity, which the SDK takes for a failed
    authentication.
    """
    with pytest.raises(AccessDenied, match="ServiceBusAuthenticationError"):
        await bus.port.send([_message(team, entity="nowhere")])


async def test_a_message_that_is_too_large_is_refused_and_a_batch_of_large_ones_is_not(
    bus: BusSide, team: str
) -> None:
    with pytest.raises(TooLarge, match="MessageSizeExceededError"):
        await bus.port.send([_to_keys(team, body=b"x" * 300_000)])
    await bus.port.send([_to_keys(team, number, body=b"x" * 100_000) for number in range(1, 6)])
    assert len(await bus.waiting(DELIVER_KEYS, team)) == 5


PROPERTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "those of a letter": DeadLetter(
        "provision-gateway", "alpha", "r" * 128, "ü" * 2000, "a", 1, "m", "s", "r", 2**30, 5
    ).properties(),
    "long and of every kind": {
        "ü" * 100: "ü" * 10_000,
        "number": 2**31 - 2,
        "part": 1.5,
        "truth": True,
        "empty": "",
    },
}


@pytest.mark.parametrize("about", PROPERTIES.values(), ids=PROPERTIES.keys())
async def test_what_is_reckoned_to_fit_is_taken_and_hardly_more(
    bus: BusSide, team: str, about: dict[str, Any]
) -> None:
    """By what a message is said to measure, a letter is cut or kept whole; the service counts for itself."""
    due = datetime(2026, 1, 1, tzinfo=UTC)
    empty = _to_keys(team, body=b"", properties=about, due=due, content_type="application/octet-stream")
    most = MAX_MESSAGE_BYTES - empty.size
    await bus.port.send([replace(empty, body=b"x" * most)])
    assert [len(seen.body) for seen in await bus.waiting(DELIVER_KEYS, team)] == [most]
    with pytest.raises(TooLarge):
        await bus.port.send([replace(empty, message_id=f"{team}/1", body=b"x" * (most + 256))])
    await bus.port.send([replace(empty, message_id=f"{team}/2", body=b"the link is still good")])
