"""Dead letters are read page by page, and what no stage of ours put there is a letter too."""

from __future__ import annotations

from datetime import timedelta

from shared.inventory.dead_letters import letters, numbered, read_letter
from shared.messaging.dead_letters import Letter
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.routes import DEAD_LETTERS
from shared.ports import OutgoingMessage, QueuedDeadLetter
from tests.fakes.app import FakeApp
from tests.fakes.dead_letters import PAGE
from tests.settlement.stage import a_message, an_app


async def _many(count: int) -> FakeApp:
    app = an_app()
    await app.bus.send([OutgoingMessage(DEAD_LETTERS, f"m{number}", b"{}") for number in range(count)])
    return app


async def test_all_pages_are_read_in_order() -> None:
    app = await _many(PAGE + 2)
    assert [letter.message_id async for letter in letters(app)] == [
        f"m{number}" for number in range(PAGE + 2)
    ]


async def test_letters_are_found_by_their_numbers_whatever_page_they_are_on() -> None:
    app = await _many(2 * PAGE + 1)
    every = [letter.sequence async for letter in letters(app)]
    wanted = [every[0], every[PAGE - 1], every[PAGE], every[-1]]
    found = await numbered(app, [*wanted, every[-1] + 7])
    assert list(found) == wanted
    assert [found[sequence].message_id for sequence in wanted] == [
        "m0",
        f"m{PAGE - 1}",
        f"m{PAGE}",
        f"m{2 * PAGE}",
    ]
    assert await numbered(app, []) == {}


def test_what_no_stage_of_ours_put_there_has_neither_stage_nor_team() -> None:
    app = an_app()
    foreign = IncomingMessage(b"hello", "x1", "somebody", app.clock.now())
    found = read_letter(QueuedDeadLetter(7, foreign))
    assert found == Letter(
        sequence=7,
        message_id="x1",
        enqueued=app.clock.now(),
        stage="",
        team="",
        reason="MalformedMessage",
        message=found.message,
        actor="the platform",
        attempts=0,
        correlation_id="",
        hop=0,
        session="",
        replays=0,
        blob="",
        body=b"hello",
    )
    assert "'stage'" in found.message


def test_the_revision_is_the_one_that_the_message_speaks_of() -> None:
    message = a_message(an_app())
    assert len(read_letter(QueuedDeadLetter(1, message)).blob) == 40
    withdrawal = b'{"data": {"blob": "", "granted": "9f"}}'
    assert (
        read_letter(QueuedDeadLetter(1, IncomingMessage(withdrawal, "x", None, message.enqueued))).blob
        == "9f"
    )
    for body in (b'{"data": {}}', b'{"data": {"blob": null}}', b'{"data": []}', b"{}"):
        assert (
            read_letter(
                QueuedDeadLetter(1, IncomingMessage(body, "x", None, message.enqueued + timedelta(1)))
            ).blob
            == ""
        )
