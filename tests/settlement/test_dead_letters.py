"""Messages that no stage can finish: kept as they were, with what is known about them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.app import App
from shared.errors import InvalidRequest, Rejected, Unavailable
from shared.messaging.messages import DeadLetter, Sweep
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.messaging.routes import DEAD_LETTERS, PROVISION_GATEWAY, SWEEP
from shared.stages.settlement import settle
from tests.settlement.stage import ROOT, a_message, an_app, settled

MINUTE = timedelta(minutes=1)
WAITING = Waiting(timedelta(seconds=30), "NodeClaimNotReady", revision="b" * 40)


async def test_a_dead_letter_says_who_must_act_and_keeps_the_message_as_it_was() -> None:
    app = an_app()
    message = a_message(app)
    [sent] = await settled(
        app, InvalidRequest("this platform has no GPU cluster", reason="NoCluster"), message
    )
    assert sent.body == message.body
    assert DeadLetter.of(sent.properties) == DeadLetter(
        stage="provision-gateway",
        team="alpha",
        reason="NoCluster",
        message="this platform has no GPU cluster",
        actor="the team",
        attempts=1,
        message_id=ROOT,
        session="alpha",
        correlation_id=ROOT,
        hop=0,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00binary",
        b"nonsense",
        b"[]",
        b"null",
        b"{}",
        b'{"specversion": "1.0", "type": "other", "data": {}}',
        b"[" * 100_000,
    ],
    ids=["empty", "binary", "text", "list", "null", "object", "another type", "deep"],
)
async def test_a_message_that_is_not_ours_is_kept_byte_for_byte(body: bytes) -> None:
    app = an_app()
    [sent] = await settled(app, Done(), a_message(app, body=body))
    assert (sent.entity, sent.body) == (DEAD_LETTERS, body)
    letter = DeadLetter.of(sent.properties)
    assert (letter.reason, letter.actor, letter.team) == ("MalformedMessage", "the platform", "alpha")
    assert app.reports.shown == []


@pytest.mark.parametrize(
    "changed",
    [
        {"team": "Al pha"},
        {"blob": "z" * 40},
        {"change": 1},
        {"change": "destroyed", "extra": 1, "blob": "z"},
        {"team": "a" * 41},
        {"path": "x" * 1025},
        {"commit": ""},
    ],
)
async def test_a_message_of_our_type_with_other_content_is_malformed(changed: dict[str, Any]) -> None:
    app = an_app()
    envelope = json.loads(a_message(app).body)
    envelope["data"] |= changed
    [sent] = await settled(app, Done(), a_message(app, body=json.dumps(envelope).encode()))
    assert sent.properties["reason"] == "MalformedMessage"


@pytest.mark.parametrize(
    "properties",
    [{"sequence": "x", "attempt": -1, "root": ""}, {"sequence": 2.5, "failing-since": ""}],
    ids=str,
)
async def test_properties_of_others_do_no_harm(properties: dict[str, Any]) -> None:
    app = an_app()
    [copy] = await settled(app, Unavailable("no answer"), a_message(app, properties=properties))
    assert (copy.properties["root"], copy.properties["sequence"], copy.properties["attempt"]) == (ROOT, 1, 1)


async def test_a_number_of_attempts_that_nobody_made_does_no_harm() -> None:
    app = an_app()
    [copy] = await settled(app, Unavailable("no answer"), a_message(app, properties={"attempt": 10**9}))
    assert copy.due is not None
    assert copy.due <= app.clock.now() + 10 * MINUTE


@pytest.mark.parametrize("name", ["failing-since", "waiting-since"])
async def test_a_time_that_is_none_counts_from_now(name: str) -> None:
    app = an_app()
    message = a_message(app, properties={name: "yesterday", "waiting-for": WAITING.reason})
    [copy] = await settled(app, Unavailable("no answer") if name == "failing-since" else WAITING, message)
    assert copy.due is not None


async def test_a_long_message_is_cut_to_what_properties_may_hold() -> None:
    app = an_app()
    [sent] = await settled(app, Rejected("x" * 100_000))
    assert len(str(sent.properties["message"])) == 2000


async def test_the_sweep_has_no_team_and_shows_no_status() -> None:
    app = an_app()
    message = a_message(
        app, body=Sweep(why="a test").encode("s1", "x", app.clock.now()), session="sweep", message_id="s1"
    )
    assert await settled(app, Done("3 teams looked at"), message, SWEEP) == []
    [sent] = await settled(app, Rejected("too large"), message, SWEEP)
    assert sent.properties["team"] == "sweep"
    assert app.reports.shown == []


async def test_work_is_never_called_for_a_message_that_cannot_be_read() -> None:
    app = an_app()

    async def work(_: App, __: Event[Any]) -> Outcome:
        raise AssertionError("called")

    await settle(app, PROVISION_GATEWAY, a_message(app, body=b"{}"), work)
    assert len(app.bus.dead_letters()) == 1


async def test_whose_a_letter_is_comes_from_the_message_and_only_else_from_its_session() -> None:
    app = an_app()
    [ours] = await settled(app, Rejected("400"), a_message(app, session="another"))
    [foreign] = await settled(app, Done(), a_message(app, body=b"hello", session=None, message_id="x1"))
    assert (ours.properties["team"], ours.properties["session"]) == ("alpha", "another")
    assert (foreign.properties["team"], foreign.properties["session"]) == ("", "")
    assert (ours.content_type, foreign.content_type) == (
        "application/cloudevents+json",
        "application/octet-stream",
    )
