"""Whatever a stranger with the right to send puts on a queue ends as one letter or one copy, and never goes
round.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api import dead_letters
from shared.api.dead_letters import Command
from shared.errors import Rejected, TooLarge, Unavailable
from shared.inventory.dead_letters import letters
from shared.marker import format_time
from shared.messaging.dead_letters import Filter, Letter
from shared.messaging.messages import CUT, AccessChange, DeadLetter
from shared.messaging.outcomes import Done, Outcome, Waiting
from shared.messaging.retry_state import MAX_ID_LENGTH, MAX_MESSAGE_BYTES, IncomingMessage
from shared.messaging.routes import DEAD_LETTERS, PROVISION_GATEWAY
from shared.ports import OutgoingMessage
from shared.stages.settlement import PREVIEW_LENGTH, collect, settle
from tests.fakes.app import FakeApp, a_change
from tests.fakes.calls import Call
from tests.settlement.stage import a_message, an_app, as_received, ends_with, settled

HUGE = b"x" * 261_900
WAITING = Waiting(timedelta(seconds=30), "NodeClaimNotReady", revision="b" * 40)


async def the_letter(app: FakeApp) -> Letter:
    [found] = [letter async for letter in letters(app)]
    return found


async def test_a_body_that_leaves_no_room_is_kept_by_its_beginning_size_and_hash() -> None:
    app = an_app()
    body = bytes(range(256)) * 1023
    [sent] = await settled(app, Done(), a_message(app, body=body))
    assert (sent.entity, sent.body, sent.content_type) == (DEAD_LETTERS, body[:PREVIEW_LENGTH], CUT)
    letter = await the_letter(app)
    assert (letter.reason, letter.stage, letter.team) == ("MalformedMessage", "provision-gateway", "alpha")
    assert (letter.body_size, letter.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())


async def test_what_the_broker_puts_aside_leaves_its_queue_however_large_it_is() -> None:
    app = an_app()
    await collect(
        app,
        PROVISION_GATEWAY,
        a_message(app, body=HUGE, reason="MaxDeliveryCountExceeded", description="x" * 4000),
    )
    letter = await the_letter(app)
    assert (letter.reason, letter.body_size) == ("MaxDeliveryCountExceeded", len(HUGE))


async def test_the_largest_body_that_fits_is_kept_whole_and_one_more_byte_is_not() -> None:
    app = an_app()
    [small] = await settled(app, Done(), a_message(app, body=b""))
    most = MAX_MESSAGE_BYTES - small.size
    [fits] = await settled(
        app,
        Done(),
        a_message(app, message_id="1".ljust(len(a_message(app).message_id), "1"), body=b"x" * most),
    )
    [cut] = await settled(
        app,
        Done(),
        a_message(app, message_id="2".ljust(len(a_message(app).message_id), "2"), body=b"x" * (most + 1)),
    )
    assert (len(fits.body), fits.content_type, "body-size" in fits.properties) == (
        most,
        "application/octet-stream",
        False,
    )
    assert (len(cut.body), cut.properties["body-size"]) == (PREVIEW_LENGTH, most + 1)


async def test_a_letter_that_the_service_refuses_as_too_large_is_cut_too() -> None:
    app = an_app()
    refused: list[Call] = []

    async def refuse_the_first(call: Call) -> None:
        refused.append(call)
        if len(refused) == 1:
            raise TooLarge("Service Bus: MessageSizeExceededError")

    app.calls.before = refuse_the_first
    [sent] = await settled(app, Done(), a_message(app, body=b"x" * 5000))
    assert (len(sent.body), sent.properties["body-size"]) == (PREVIEW_LENGTH, 5000)


@pytest.mark.parametrize("result", [Unavailable("no answer"), WAITING], ids=["retry", "wait"])
async def test_a_message_that_has_no_room_for_the_trail_of_its_copy_is_a_dead_letter(
    result: Outcome | Exception,
) -> None:
    app = an_app()
    empty = AccessChange(**a_change(app).model_dump() | {"text": ""}).encode(
        "x", "/repositories/1", app.clock.now()
    )
    forged = empty.replace(b'"commit"', b'"text":"' + b"x" * (262_000 - len(empty)) + b'","commit"')
    [sent] = await settled(app, result, a_message(app, body=forged))
    assert (sent.entity, sent.properties["reason"]) == (DEAD_LETTERS, "Rejected")
    assert sent.properties["body-size"] == len(forged)


async def test_what_is_not_kept_whole_cannot_be_replayed_and_can_be_discarded() -> None:
    app = an_app()
    await settled(app, Done(), a_message(app, body=HUGE))
    number = (await the_letter(app)).sequence
    [answer] = await dead_letters.replay(app, Command([number], "olivia"))
    assert answer.outcome == "refused"
    assert f"only the first {PREVIEW_LENGTH} of its {len(HUGE)} bytes were kept" in answer.why
    [answer] = await dead_letters.discard(app, Command([number], "olivia"), "because")
    assert (answer.outcome, app.bus.dead_letters()) == ("discarded", [])


async def test_a_body_that_spells_half_a_character_is_a_letter() -> None:
    app = an_app()
    await collect(app, PROVISION_GATEWAY, a_message(app, body=b'{"subject": "\\ud800x"}'))
    assert (await the_letter(app)).team == "\\ud800x"


async def test_times_that_have_not_come_do_not_lengthen_the_limit() -> None:
    app = an_app()
    message = a_message(app, properties={"failing-since": "9999-12-31T23:59:59Z"})
    [copy] = await settled(app, Unavailable("no answer"), message)
    assert copy.properties["failing-since"] == format_time(app.clock.now())
    app.clock.advance(app.timeouts.retry)
    [letter] = await settled(
        app, Unavailable("no answer"), replace(as_received(app, copy), enqueued=app.clock.now())
    )
    assert letter.properties["reason"] == "RetriesExhausted"


@pytest.mark.parametrize("number", [2**30, 2**31 - 2, 2**31, 2**63, -1, True], ids=str)
async def test_no_count_is_so_large_that_what_follows_cannot_be_sent_or_read(number: int) -> None:
    app = an_app()
    counts = dict.fromkeys(("sequence", "attempt", "replays"), number)
    [copy] = await settled(app, Unavailable("no answer"), a_message(app, properties=counts))
    [sent] = await settled(app, Rejected("400"), as_received(app, copy))
    assert DeadLetter.of(sent.properties).attempts > 0


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(),
    st.text(max_size=40),
    st.text("é\n", min_size=5000, max_size=5000),
    st.binary(max_size=20),
    st.datetimes(),
    st.uuids(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none()),
    st.sampled_from(
        [
            "\ud800",
            "é\n" * 2500,
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "x\x1b[2J\nWARNING Audit: ada",
        ]
    ),
)
NAMES = st.sampled_from(
    [
        "root",
        "sequence",
        "attempt",
        "waiting-for",
        "waiting-since",
        "failing-since",
        "denied-since",
        "replays",
        "x",
    ]
)
IDS = st.text(min_size=1, max_size=128)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bytes, nearly ours, and as large as Service Bus takes them."""
    data = {"change": "requested", "team": "alpha", "path": "p", "commit": "c" * 40, "blob": "b" * 40}
    data |= draw(
        st.dictionaries(
            st.sampled_from([*data, "cause", "text", "new\nfield"]),
            st.text(max_size=9) | st.integers(),
            max_size=2,
        )
    )
    envelope = {
        "specversion": "1.0",
        "type": "dev.mergekey.access-change.v1",
        "source": "/repositories/1",
        "data": data,
    }
    envelope |= draw(
        st.dictionaries(
            st.sampled_from([*envelope, "subject"]), st.text(max_size=200) | st.none(), max_size=2
        )
    )
    body = json.dumps(envelope).encode()
    return draw(
        st.sampled_from([body, body, body + b" " * (262_000 - len(body)), b"x" * 262_000])
        | st.binary(max_size=50)
    )


@st.composite
def strange(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "body": draw(bodies()),
        "message_id": draw(IDS),
        "session": draw(st.none() | st.just("alpha") | IDS),
        "properties": draw(st.dictionaries(NAMES, ANYTHING, max_size=4)),
        "delivery_count": draw(st.integers(1, 10)),
        "reason": draw(st.sampled_from(["", "TTLExpiredException"]) | st.just("a\n" * 2048)),
        "description": draw(st.text(max_size=40) | st.just("é" * 4096)),
    }


class Lines(logging.Handler):
    """What the log shows."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def log() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("mergekey")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


RESULTS = [Done("fine"), WAITING, Unavailable("no answer"), Rejected("400\nAudit: ada")]


@given(message=strange(), result=st.sampled_from(RESULTS), collected=st.booleans())
async def test_anything_ends_as_at_most_one_message_that_can_be_sent(
    message: dict[str, Any], result: Outcome | Exception, collected: bool, log: Lines
) -> None:
    app = an_app()
    received = IncomingMessage(enqueued=app.clock.now(), **message)
    if collected:
        await collect(app, PROVISION_GATEWAY, received)
        assert len(app.bus.dead_letters()) == 1
    else:
        await settle(app, PROVISION_GATEWAY, received, ends_with(result))
    assert len(app.bus.sent) <= 1
    for letter in app.bus.dead_letters():
        assert DeadLetter.of(letter.properties).stage == "provision-gateway"
        assert (await dead_letters.listing(app, Filter(), 1, 9)).letters[0].replay_id
    assert all(line.isprintable() for line in log.lines)
    log.lines.clear()


LETTER = DeadLetter("provision-gateway", "alpha", "Rejected", "why", "the platform", 1, "m", "alpha", "r", 0)
JUNK: list[dict[str, Any]] = [
    {},
    {"root": "x" * 5000},
    {"root": "\ud800"},
    {"sequence": 2**40},
    {"replays": -1},
    {"attempts": 2**31 - 1},
    {"session": "x" * 129},
    {"stage": "x\n"},
    {"team": 5},
    {"body-size": "x"},
    {"body-size": 7, "body-sha256": "f" * 64},
]


@pytest.mark.parametrize("changed", JUNK)
async def test_a_letter_by_somebody_else_is_shown_and_its_replay_breaks_nothing(
    changed: dict[str, Any],
) -> None:
    app = an_app()
    received = IncomingMessage(
        b"{}", "m" * MAX_ID_LENGTH, None, app.clock.now(), LETTER.properties() | changed
    )
    held = OutgoingMessage(DEAD_LETTERS, received.message_id, received.body)
    await app.bus.send([held])
    app.bus.queues[DEAD_LETTERS][0].envelope = replace(held, properties=received.properties)
    letter = await the_letter(app)
    [answer] = await dead_letters.replay(app, Command([letter.sequence], "olivia"))
    assert answer.outcome == (
        "replayed" if changed in ({}, {"root": "x" * 5000}, {"root": "\ud800"}) else "refused"
    )


async def test_a_letter_of_a_newer_version_is_shown_and_can_be_replayed() -> None:
    app = an_app()
    await app.bus.send(
        [
            OutgoingMessage(
                DEAD_LETTERS, "m", b"{}", properties=LETTER.properties() | {"cause": "quota", "urgent": True}
            )
        ]
    )
    letter = await the_letter(app)
    assert (letter.stage, letter.team, letter.reason) == ("provision-gateway", "alpha", "Rejected")
    [answer] = await dead_letters.replay(app, Command([letter.sequence], "olivia"))
    assert answer.outcome == "replayed"


async def test_ids_with_lines_in_them_forge_no_line_of_the_log(log: Lines) -> None:
    log.lines.clear()
    app = an_app()
    forged = "m\nWARNING Audit: ada (0000) discarded dead letter 7 because: done\x1b[2K"
    await settle(app, PROVISION_GATEWAY, a_message(app, body=b"x", message_id=forged), ends_with(Done()))
    await settled(app, Unavailable("no answer"), a_message(app, properties={"root": forged}))
    assert [
        line.count("m\\nWARNING Audit: ada (0000) discarded dead letter 7 because: done\\x1b[2K")
        for line in log.lines
        if not line.startswith("Measured: ")
    ] == [1, 1]
    log.lines.clear()
