"""Replay and list: nothing lost, nothing done twice, nothing that nobody saw."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.api import dead_letters
from shared.api.dead_letters import Answer, Command
from shared.errors import Rejected, Unavailable
from shared.inventory.dead_letters import letters
from shared.messaging.dead_letters import MAX_REPLAYS, Filter
from shared.messaging.messages import DeadLetter
from shared.messaging.routes import DEAD_LETTERS, PROVISION_GATEWAY, TOPIC
from shared.ports import OutgoingMessage
from tests.fakes.app import Asked, FakeApp
from tests.fakes.calls import Call, nothing
from tests.stages.operators import MINUTES, Refusing, a_dead_letter, discard, numbers, outcomes
from tests.stages.road import Kill, Killed, a_platform, a_team, ask, drain, later, shown, withdraw, world


async def replay(app: FakeApp, *sequences: int, dry_run: bool = False) -> list[Answer]:
    answers = await dead_letters.replay(app, Command(sequences or await numbers(app), "olivia", dry_run))
    await drain(app)
    return answers


# ----------------------------------------------------------------------------------------------------- replay


async def test_a_replay_goes_to_the_one_stage_that_failed_as_the_message_it_was() -> None:
    app = await a_dead_letter()
    [letter] = app.bus.dead_letters()
    seen = len(app.bus.sent)
    assert outcomes(await dead_letters.replay(app, Command(await numbers(app), "olivia"))) == ["replayed"]
    [sent] = app.bus.sent[seen:]
    assert (sent.entity, sent.to, sent.session, sent.body) == (
        TOPIC,
        "provision-gateway",
        "alpha",
        letter.body,
    )
    assert sent.message_id == f"{letter.message_id}/replay/1"
    assert dict(sent.properties) == {
        "root": letter.properties["root"],
        "sequence": 0,
        "attempt": 0,
        "replays": 1,
    }
    assert app.bus.dead_letters() == []


async def test_after_a_replay_the_world_is_as_if_nothing_had_failed() -> None:
    app, other = await a_dead_letter(), await a_team()
    await replay(app)
    assert world(app) == world(other)
    assert shown(app)["gateway"].startswith("success")


async def test_a_replay_after_a_newer_push_brings_what_the_newer_push_says() -> None:
    app, other = await a_dead_letter(Asked(tokens=1000)), await a_team(Asked(tokens=7000))
    await ask(app, Asked(tokens=7000))
    app.calls.forget()
    await replay(app)
    assert app.calls.writes() == []
    assert world(app) == world(other)


async def test_a_replay_for_a_team_that_is_gone_brings_nothing_back() -> None:
    app = await a_dead_letter()
    await withdraw(app)
    before = world(app)
    await replay(app)
    assert world(app) == before


@pytest.mark.parametrize(
    "late", [timedelta(0), MINUTES], ids=["at once", "after the window of duplicate detection"]
)
async def test_a_replay_that_is_sent_twice_is_harmless(late: timedelta) -> None:
    app = await a_dead_letter()
    [letter] = [letter async for letter in letters(app)]
    await replay(app)
    before = world(app)
    app.clock.advance(late)
    app.calls.forget()
    await app.bus.send([dead_letters.replay_of(letter, PROVISION_GATEWAY)])
    await drain(app)
    assert app.calls.writes() == []
    assert world(app) == before


async def test_retries_of_a_replay_are_numbered_on() -> None:
    app = await a_platform()

    async def unavailable_and_then_refused(call: Call) -> None:
        if call.name == "put_product_policy":
            failures.append(call)
            raise Unavailable("no answer") if len(failures) % 2 else Rejected("400")

    failures: list[Call] = []
    app.calls.before = unavailable_and_then_refused
    await ask(app, Asked())
    await later(app, timedelta(minutes=1))
    await replay(app)
    await later(app, timedelta(minutes=1))
    app.calls.before = nothing
    assert len(failures) == 4
    [letter] = [letter async for letter in letters(app)]
    assert (letter.hop, letter.replays, letter.attempts) == (2, 1, 2)


async def test_replays_are_counted_and_come_to_an_end() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        for number in range(MAX_REPLAYS):
            [letter] = [letter async for letter in letters(app)]
            assert letter.replays == number
            assert outcomes(await replay(app)) == ["replayed"]
    assert outcomes(await replay(app, dry_run=True)) == ["refused"]
    [answer] = await replay(app)
    assert (answer.outcome, "find the cause" in answer.why) == ("refused", True)
    assert len(app.bus.dead_letters()) == 1


async def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    app = await a_dead_letter()
    [answer] = await replay(app, dry_run=True)
    assert (answer.outcome, answer.why) == ("ready", "goes to provision-gateway, replay 1")
    assert [call for call in app.calls.made if call.writes] == []


async def test_only_what_was_named_is_replayed() -> None:
    app = await a_dead_letter()
    seen = await numbers(app)
    with Refusing(app):
        await ask(app, Asked(team="bravo"))
    assert outcomes(await replay(app, *seen, 999)) == ["replayed", "gone"]
    [left] = [letter async for letter in letters(app)]
    assert left.team == "bravo"


async def test_letters_are_replayed_in_their_order_until_one_fails() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        await ask(app, Asked(tokens=2000))
        await ask(app, Asked(tokens=3000))
    first, second, third = await numbers(app)

    async def broken(call: Call) -> None:
        if call.name == "send" and len(sent) == 1:
            raise Unavailable("no answer")
        sent.extend([call] if call.name == "send" else [])

    sent: list[Call] = []
    app.calls.before = broken
    answers = await dead_letters.replay(app, Command([third, second, first], "olivia"))
    app.calls.before = nothing
    assert [(answer.sequence, answer.outcome) for answer in answers] == [
        (first, "replayed"),
        (second, "failed"),
        (third, "untried"),
    ]
    assert await numbers(app) == [second, third]
    assert outcomes(await replay(app)) == ["replayed", "replayed"], "what failed is not held any more"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("index", range(3), ids=["lock", "send", "complete"])
async def test_who_is_killed_in_the_middle_of_a_replay_loses_nothing(index: int, when: str) -> None:
    app, other = await a_dead_letter(), await a_team()
    kill = Kill(app, index, when)
    with pytest.raises(Killed):
        await replay(app)
    kill.restart()
    await later(app, timedelta(minutes=6))
    await replay(app)
    assert app.bus.dead_letters() == []
    assert world(app) == world(other)


async def test_two_operators_at_once_send_it_once() -> None:
    app = await a_dead_letter()
    [number] = await numbers(app)
    await app.dead_letters.lock(number)
    [answer] = await replay(app)
    assert (answer.outcome, answer.why.partition(":")[0]) == ("failed", "LetterIsHeld")


@pytest.mark.parametrize(
    ("properties", "body"),
    [({}, b"\xff"), ({"stage": 7}, b"[]"), ({"stage": "sweeps", "team": "x"}, b"{}")],
    ids=["none", "number", "few"],
)
async def test_a_message_of_somebody_else_is_shown_and_can_only_be_discarded(
    properties: dict[str, Any], body: bytes
) -> None:
    app = await a_platform()
    await app.bus.send([OutgoingMessage(DEAD_LETTERS, "foreign", body, properties=properties)])
    page = await dead_letters.listing(app, Filter(), 1, 10)
    assert [(letter.stage, letter.reason) for letter in page.letters] == [("", "MalformedMessage")]
    assert outcomes(await replay(app)) == ["refused"]
    assert outcomes(await discard(app)) == ["discarded"]


async def test_a_stage_that_there_is_no_more_is_told() -> None:
    app = await a_platform()
    about = DeadLetter("provision-nothing", "alpha", "X", "x", "the team", 1, "m", "alpha", "m", 0)
    await app.bus.send([OutgoingMessage(DEAD_LETTERS, "old", b"{}", properties=about.properties())])
    [answer] = await replay(app)
    assert (answer.outcome, "provision-nothing" in answer.why) == ("refused", True)


# ------------------------------------------------------------------------------------------------------- list


async def test_a_list_comes_in_pages_with_the_groups_of_all_on_the_first() -> None:
    app = await a_platform()
    about = DeadLetter("sweeps", "sweep", "Rejected", "x", "the platform", 1, "m", "sweep", "m", 0)
    ids = [f"letter-{number}" for number in range(600)]
    await app.bus.send(
        [OutgoingMessage(DEAD_LETTERS, each, b"{}", properties=about.properties()) for each in ids]
    )
    found: list[str] = []
    first: int | None = 1
    while first is not None:
        page = await dead_letters.listing(app, Filter(stage="sweeps"), first, 250)
        assert (page.groups is None) == (first > 1)
        assert page.groups is None or [group.count for group in page.groups] == [600]
        found += [letter.message_id for letter in page.letters]
        first = page.following
    assert found == ids
    assert app.dead_letters.holding == {}
