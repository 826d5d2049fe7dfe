"""Ids of messages: who handles a message twice queues the same ids twice, and Service Bus drops the
second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.app import App
from shared.errors import Busy, PermanentError, Unavailable
from shared.marker import format_time
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.messaging.retry_state import MAX_ID_LENGTH, IncomingMessage, RetryState, waiting_id
from shared.messaging.routes import DEAD_LETTERS, DELIVER_KEYS, PROVISION_GATEWAY, SWEEP
from shared.stages.outgoing import access_change, ask_for_keys, ask_for_sweep, sweep
from shared.stages.settlement import collect, settle, start_sweep
from tests.fakes.app import FakeApp, a_change, an_event
from tests.fakes.clock import START
from tests.settlement.stage import ROOT, a_message, an_app, as_received, chain, ends_with, settled

WAITING = Waiting(timedelta(seconds=30), "NodeClaimNotReady", revision="b" * 40)


async def test_ids_tell_where_a_message_comes_from() -> None:
    app = an_app()
    message = AccessChange(change="withdrawn", team="alpha", path="x", commit="c" * 40)
    await ask_for_keys(app, an_event(app, message, ROOT), "d" * 40)
    await app.bus.send([access_change(app, message, "d1", app.clock.now())])
    due = (await settled(app, Unavailable("no answer")))[0].due
    await settled(app, PermanentError("gone"))
    assert due is not None
    assert [envelope.message_id for envelope in app.bus.sent] == [
        f"{ROOT}/deliver-keys",
        "d1/alpha",
        f"{ROOT}/provision-gateway/{int(due.timestamp())}",
        f"{ROOT}/dead-letter/provision-gateway",
    ]


@pytest.mark.parametrize(
    "result",
    [WAITING, Unavailable("no answer"), PermanentError("gone")],
    ids=["wait", "retry", "dead letter"],
)
async def test_a_message_that_is_handled_twice_queues_its_follow_up_once(result: Waiting | Exception) -> None:
    app = an_app()
    message = a_message(app)
    assert len(await settled(app, result, message)) == 1
    assert await settled(app, result, replace(message, delivery_count=2)) == []


@pytest.mark.parametrize(
    "result",
    [
        WAITING,
        Waiting(timedelta(seconds=5), "HandOverDelay", patient=True),
        Unavailable("no answer"),
        Busy("409"),
    ],
    ids=["wait", "patient wait", "retry", "conflict"],
)
async def test_a_slower_hand_is_followed_by_a_copy_of_its_own(result: Waiting | Exception) -> None:
    """It lost its lock and ran on. The copy of the faster one was handled before it wrote for the last
    time.
    """
    app = an_app()
    message = a_message(app)

    async def slow(_: App, __: Event[AccessChange]) -> Outcome:
        [copy] = await settled(app, result, replace(message, delivery_count=2))
        assert copy.due is not None
        app.clock.advance_to(copy.due)
        await settled(app, Done(), as_received(app, copy))
        return await ends_with(result)(app, an_event(app, a_change(app)))

    await settle(app, PROVISION_GATEWAY, message, slow)
    [_, copy] = app.bus.sent
    assert copy.due is not None
    assert copy.due > app.clock.now()


async def test_a_slower_hand_counts_its_time_where_its_clock_is_late() -> None:
    app = an_app()
    ahead = timedelta(hours=1)
    message = a_message(app, enqueued=app.clock.now() + ahead)

    async def slow(_: App, __: Event[AccessChange]) -> Outcome:
        app.clock.advance(timedelta(minutes=1))
        raise Busy("409")

    await settle(app, PROVISION_GATEWAY, message, slow)
    [copy] = app.bus.sent
    assert copy.due is not None
    assert copy.due > app.clock.now() + ahead


async def test_a_retry_of_which_a_status_tells_does_not_join_one_of_which_none_does() -> None:
    """The status would never get its end."""
    app = an_app()
    trail = RetryState(ROOT, waiting_for="NodesNotReady", waiting_since=format_time(START))
    sent = [
        await settled(app, Unavailable("no answer"), message)
        for message in (a_message(app), a_message(app, properties=trail.properties()))
    ]
    assert [len(each) for each in sent] == [1, 1]


async def test_stages_of_one_message_that_ask_for_a_sweep_get_one_each() -> None:
    """They begin together; the second writes when the sweep of the first is over."""
    app = an_app()
    event = an_event(app, a_change(app), ROOT)
    for _ in range(2):
        app.clock.advance(timedelta(milliseconds=20))
        await ask_for_sweep(app, event, Sweep(why="the branch moved"))
    assert len(app.bus.waiting(SWEEP)) == 2


async def test_ids_of_a_chain_never_repeat() -> None:
    app = an_app()
    results: Iterator[Waiting | Unavailable] = iter(
        [WAITING, Unavailable("no answer"), WAITING, WAITING, Unavailable("no answer"), WAITING] * 30
    )
    queued = await chain(app, lambda: next(results), timedelta(hours=1))
    assert len(queued) > 40
    assert len({envelope.message_id for envelope in queued}) == len(queued)


def test_a_push_waits_by_itself_and_sweeps_wait_together() -> None:
    def names(cause: Literal["push", "sweep"]) -> set[str]:
        changes = (
            AccessChange(
                change="requested", team="alpha", path="p", commit=of * 40, blob="b" * 40, cause=cause
            )
            for of in "cd"
        )
        return {waiting_id(PROVISION_GATEWAY, change, WAITING, START) for change in changes}

    slot = int(START.timestamp())
    assert names("push") == {f"provision-gateway/alpha/{'b' * 40}/{of * 12}/{slot}" for of in "cd"}
    assert names("sweep") == {f"provision-gateway/alpha/{'b' * 40}/sweep/{slot}"}


async def test_waits_for_the_same_revision_join_and_others_do_not() -> None:
    app = an_app()
    first = await settled(app, WAITING, a_message(app, message_id="d1/alpha"))
    joined = await settled(app, WAITING, a_message(app, message_id="d2/alpha"))
    other = await settled(app, replace(WAITING, revision="c" * 40), a_message(app, message_id="d3/alpha"))
    assert [len(sent) for sent in (first, joined, other)] == [1, 0, 1]


async def test_a_newer_commit_waits_by_itself_so_that_people_see_the_end_beside_it() -> None:
    app = an_app()
    await settled(app, WAITING, a_message(app, message_id="d1/alpha"))
    app.repository.commit({"README.md": "a newer commit"})
    assert len(await settled(app, WAITING, a_message(app, message_id="d2/alpha"))) == 1


async def test_a_chain_whose_wait_was_joined_goes_on() -> None:
    app = an_app()
    [copy] = await settled(app, WAITING, a_message(app, message_id="d1/alpha"))
    await settled(app, WAITING, a_message(app, message_id="d2/alpha"))
    assert copy.due is not None
    app.clock.advance_to(copy.due)
    assert len(await settled(app, WAITING, as_received(app, copy))) == 1


async def test_waits_of_two_teams_do_not_join() -> None:
    app = an_app()
    bravo = a_change(app).model_copy(update={"team": "bravo"}).encode("x", "x", app.clock.now())
    assert len(await settled(app, WAITING, a_message(app))) == 1
    assert (
        len(await settled(app, WAITING, a_message(app, body=bravo, session="bravo", message_id="d1/bravo")))
        == 1
    )


@given(
    root=st.text(min_size=1, max_size=128),
    team=st.from_regex(r"[a-z][a-z0-9]{2,39}", fullmatch=True),
    sequence=st.integers(0, 10**6),
)
async def test_no_id_is_longer_than_service_bus_allows(root: str, team: str, sequence: int) -> None:
    app = an_app()
    body = a_change(app).model_copy(update={"team": team, "blob": "b" * 64}).encode("x", "x", app.clock.now())
    message = a_message(app, body=body, message_id=root, properties={"sequence": sequence})
    for result in (replace(WAITING, revision="b" * 64), Unavailable("no answer"), PermanentError("gone")):
        await settled(app, result, message)
    ids = [envelope.message_id for envelope in app.bus.sent]
    assert len(set(ids)) == 3
    assert max(map(len, ids)) <= MAX_ID_LENGTH


async def test_long_ids_that_differ_at_the_end_stay_different() -> None:
    app = an_app()
    long = "x" * 127
    ids = {
        (await settled(app, Unavailable("no"), a_message(app, message_id=long + end)))[0].message_id
        for end in "ab"
    }
    assert len(ids) == 2


async def test_a_chain_of_sweeps_that_set_off_sweeps_has_no_end() -> None:
    app = an_app()
    change, root = a_change(app), ROOT
    for number in range(20):
        swept = sweep(app, Sweep(why="the branch moved"), f"{root}/sweep/{number}", app.clock.now())
        changed = access_change(app, change, swept.message_id, app.clock.now())
        await ask_for_keys(app, an_event(app, change, changed.message_id), "d" * 40)
        await app.bus.send([swept, changed])
        root = app.bus.waiting(DELIVER_KEYS)[-1].message_id
    ids = [envelope.message_id for envelope in app.bus.sent]
    assert (len(ids), len(set(ids)), max(map(len, ids))) == (60, 60, MAX_ID_LENGTH)


async def test_who_asks_for_a_sweep_in_the_second_in_which_another_began_gets_one() -> None:
    app = an_app()
    asked = await start_sweep(app, "the timer")
    app.clock.advance(timedelta(milliseconds=20))
    assert await start_sweep(app, "a person", deep=True) != asked
    assert [Sweep.decode(envelope.body).why for envelope in app.bus.waiting(SWEEP)] == [
        "the timer",
        "a person",
    ]
    assert {envelope.session for envelope in app.bus.waiting(SWEEP)} == {"sweep"}


async def test_a_sweep_says_whether_it_looks_deeply_and_why_in_two_hundred_characters() -> None:
    app = an_app()
    await start_sweep(app, "x" * 201, deep=True)
    app.clock.advance(timedelta(minutes=15))
    await start_sweep(app, "the timer")
    [first, second] = [Sweep.decode(envelope.body) for envelope in app.bus.waiting(SWEEP)]
    assert (first, second) == (Sweep(why="x" * 200, deep=True), Sweep(why="the timer"))


# ------------------------------------------------------------------------------ what the broker has put aside


def _put_aside(app: FakeApp, **changed: object) -> IncomingMessage:
    message = a_message(
        app, delivery_count=6, reason="MaxDeliveryCountExceeded", description="Message could not be consumed."
    )
    return replace(message, **changed)  # type: ignore[arg-type]  # fields of Received


async def test_what_the_broker_put_aside_joins_the_list_of_dead_letters() -> None:
    app = an_app()
    message = _put_aside(app, properties={"root": "d7/alpha", "sequence": 3})
    await collect(app, PROVISION_GATEWAY, message)
    [letter] = app.bus.dead_letters()
    assert (letter.entity, letter.body) == (DEAD_LETTERS, message.body)
    named = {
        name: letter.properties[name]
        for name in ("reason", "message", "attempts", "stage", "team", "root", "sequence")
    }
    assert named == {
        "reason": "MaxDeliveryCountExceeded",
        "message": "Message could not be consumed.",
        "attempts": 6,
        "stage": "provision-gateway",
        "team": "alpha",
        "root": "d7/alpha",
        "sequence": 3,
    }


async def test_a_message_without_a_session_or_a_reason_is_collected_too() -> None:
    app = an_app()
    await collect(
        app, PROVISION_GATEWAY, _put_aside(app, body=b"\xff", session=None, reason="", description="")
    )
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["team"], letter.body) == (
        "DeadLettered",
        "",
        b"\xff",
    )
    assert letter.properties["message"] == "the broker put the message aside"


async def test_what_is_collected_twice_is_listed_once() -> None:
    app = an_app()
    for _ in range(2):
        await collect(app, PROVISION_GATEWAY, _put_aside(app))
    assert len(app.bus.dead_letters()) == 1


async def test_done_queues_nothing() -> None:
    assert await settled(an_app(), Done("fine")) == []
