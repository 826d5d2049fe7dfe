"""What becomes of a message: the table of docs/architecture.md, row by row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.app import App
from shared.errors import (
    AccessDenied,
    Busy,
    InvalidRequest,
    MergekeyError,
    NotManaged,
    PermanentError,
    Rejected,
    TemporaryError,
    Throttled,
    Unavailable,
)
from shared.inventory.dead_letters import read_letter
from shared.marker import format_time
from shared.messaging.dead_letters import refusal
from shared.messaging.messages import DeadLetter, Sweep
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.messaging.retry_state import (
    MAX_ID_LENGTH,
    IncomingMessage,
    RetryState,
    bounded_id,
    retry_due,
    waiting_until,
)
from shared.messaging.routes import (
    DEAD_LETTERS,
    DELIVER_KEYS,
    PROVISION_GATEWAY,
    PROVISION_WORKSPACES,
    STAGES,
    SWEEP,
    TOPIC,
    Stage,
)
from shared.stages.settlement import settle
from tests.fakes.app import FakeApp, a_change, keys_message
from tests.fakes.calls import Call
from tests.fakes.clock import START
from tests.settlement.stage import ROOT, a_message, an_app, as_received, chain, settled

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
WAITING = Waiting(30 * SECOND, "NodeClaimNotReady", revision="b" * 40)


def _status(app: FakeApp) -> tuple[str, str, str] | None:
    if not app.reports.shown:
        return None
    [status] = app.reports.shown
    return status.context, status.state, status.description


@pytest.mark.parametrize(
    ("result", "entity", "shown"),
    [
        (Done("product in place"), None, ("success", "product in place")),
        (Done(None), None, None),
        (WAITING, TOPIC, ("pending", "waiting: NodeClaimNotReady")),
        (Waiting(HOUR, "WithdrawalDelay", patient=True), TOPIC, ("pending", "waiting: WithdrawalDelay")),
        (
            Waiting(HOUR, "HandOverDelay", note="until noon"),
            TOPIC,
            ("pending", "waiting: HandOverDelay: until noon"),
        ),
        (Unavailable("no answer"), TOPIC, None),
        (Throttled("too fast"), TOPIC, None),
        (Busy("somebody else writes"), TOPIC, None),
        (AccessDenied("no role"), TOPIC, None),
        (InvalidRequest("no cluster"), DEAD_LETTERS, ("failure", "InvalidRequest: no cluster")),
        (NotManaged("not ours"), DEAD_LETTERS, ("failure", "NotManaged: not ours")),
        (Rejected("400"), DEAD_LETTERS, ("failure", "Rejected: 400")),
        (PermanentError("gone", reason="Gone"), DEAD_LETTERS, ("failure", "Gone: gone")),
    ],
)
async def test_each_end_of_a_stage_has_one_follow_up(
    result: Outcome | MergekeyError, entity: str | None, shown: tuple[str, str] | None
) -> None:
    app = an_app()
    sent = await settled(app, result)
    assert [envelope.entity for envelope in sent] == ([] if entity is None else [entity])
    assert _status(app) == (None if shown is None else ("mergekey/alpha/gateway", *shown))


async def test_a_bug_flies_on_and_leaves_the_message_to_the_broker() -> None:
    app = an_app()
    with pytest.raises(ZeroDivisionError):
        await settled(app, ZeroDivisionError())
    assert (app.bus.sent, app.reports.shown) == ([], [])


@pytest.mark.parametrize("result", [WAITING, Unavailable("no answer")], ids=["waiting", "failing"])
async def test_a_copy_comes_back_to_the_one_stage_with_the_same_body_and_session(
    result: Outcome | MergekeyError,
) -> None:
    app = an_app()
    message = a_message(app)
    [copy] = await settled(app, result, message)
    assert (copy.entity, copy.to, copy.session, copy.body) == (
        TOPIC,
        "provision-gateway",
        "alpha",
        message.body,
    )
    assert copy.properties["root"] == ROOT
    assert copy.due is not None
    assert copy.due > app.clock.now()


@pytest.mark.parametrize(
    ("stage", "entity", "to"),
    [(PROVISION_WORKSPACES, TOPIC, "provision-workspaces"), (DELIVER_KEYS, "deliver-keys", None)],
    ids=lambda value: getattr(value, "name", str(value)),
)
async def test_a_copy_goes_where_its_stage_listens(stage: Stage, entity: str, to: str | None) -> None:
    app = an_app()
    message = a_message(app)
    if stage is DELIVER_KEYS:
        message = replace(message, body=keys_message(a_change(app)).encode(ROOT, "x", app.clock.now()))
    [copy] = await settled(app, Unavailable("no answer"), message, stage)
    assert (copy.entity, copy.to) == (entity, to)


async def test_successors_are_queued_before_a_trigger_returns() -> None:
    app = an_app()

    async def down(call: Call) -> None:
        if call.system == "bus":
            raise Unavailable("Service Bus is down")

    app.calls.before = down
    with pytest.raises(Unavailable):
        await settled(app, WAITING)
    assert app.reports.shown == []


async def test_a_stage_judges_by_the_brokers_clock_when_its_own_is_late() -> None:
    app, seen = an_app(), []

    async def work(_: App, event: Event[Any]) -> Outcome:
        seen.append(event.now)
        return Done()

    for drift in (-HOUR, HOUR):
        await settle(app, PROVISION_GATEWAY, a_message(app, enqueued=app.clock.now() + drift), work)
    assert seen == [app.clock.now(), app.clock.now() + HOUR]


# ---------------------------------------------------------------------------------------------------- waiting


async def test_a_wait_is_as_long_as_the_stage_says_and_longer_the_longer_it_lasts() -> None:
    app = an_app()
    started = app.clock.now()
    queued = await chain(app, lambda: WAITING, HOUR)
    dues = [started, *(envelope.due for envelope in queued if envelope.due)]
    pauses = [(after - before).total_seconds() for before, after in pairwise(dues)]
    assert 30 <= pauses[0] < 46
    assert 60 <= pauses[-1] < 92
    assert all(30 <= pause < 92 for pause in pauses)


def test_looks_of_chains_that_wait_for_the_same_meet() -> None:
    """Then they have one id, and the broker keeps one of them: fifty sweeps that began at any time look twice
    a minute.
    """
    looks = set()
    for start in (START + timedelta(seconds=17 * number) for number in range(50)):
        due = start
        while due < START + HOUR:
            due = waiting_until(Waiting(SECOND, "CatalogueNotProvisioned"), due, start)
            looks.add(due)
    last = {due for due in looks if START + 50 * MINUTE <= due < START + 60 * MINUTE}
    assert len(last) <= 20


async def test_a_wait_is_given_up_after_its_limit() -> None:
    app = an_app()
    queued = await chain(app, lambda: WAITING, 3 * HOUR)
    letter = DeadLetter.of(queued[-1].properties)
    assert (queued[-1].entity, letter.reason, letter.actor) == (DEAD_LETTERS, "WaitedTooLong", "the platform")
    assert "NodeClaimNotReady" in letter.message
    assert app.reports.shown[-1].state == "failure"


async def test_a_wait_is_given_up_when_its_time_is_over_and_not_before() -> None:
    app = an_app()
    begun = app.clock.now() - app.timeouts.wait
    for since, given_up in ((begun + SECOND, False), (begun, True)):
        trail = RetryState("root", waiting_for=WAITING.reason, waiting_since=format_time(since))
        [queued] = await settled(
            app, WAITING, a_message(app, message_id=f"at {since}", properties=trail.properties())
        )
        assert (queued.entity == DEAD_LETTERS) == given_up


async def test_a_patient_wait_is_not_given_up() -> None:
    app = an_app()
    queued = await chain(app, lambda: Waiting(HOUR, "WithdrawalDelay", patient=True), timedelta(days=2))
    assert {envelope.entity for envelope in queued} == {TOPIC}


async def test_each_reason_has_a_limit_of_its_own() -> None:
    app = an_app()
    reasons = iter(["NodeClaimNotReady"] * 100 + ["InferenceNotReady"] * 100)
    queued = await chain(app, lambda: Waiting(MINUTE, next(reasons)), 199 * MINUTE)
    assert DEAD_LETTERS not in {envelope.entity for envelope in queued}


async def test_a_wait_ends_a_row_of_failures() -> None:
    app = an_app()
    [failed] = await settled(app, Unavailable("no answer"))
    assert failed.due is not None
    app.clock.advance_to(failed.due)
    [waiting] = await settled(app, WAITING, as_received(app, failed))
    assert waiting.properties["attempt"] == 0
    assert "failing-since" not in waiting.properties


async def test_a_failure_during_a_wait_keeps_the_time_of_the_wait() -> None:
    app = an_app()
    [waiting] = await settled(app, WAITING)
    [failed] = await settled(app, Unavailable("no answer"), as_received(app, waiting))
    assert failed.properties["waiting-since"] == waiting.properties["waiting-since"]


async def test_each_commit_that_waits_sees_the_end_of_it() -> None:
    app = an_app()
    first = await settled(app, WAITING, a_message(app, message_id="d1/alpha"))
    app.repository.commit({"README.md": "a newer commit"})
    second = await settled(app, WAITING, a_message(app, message_id="d2/alpha"))
    for copy in (*first, *second):
        await settled(app, Done("workspaces ready: phi-4"), as_received(app, copy))
    ends = {status.commit: status.state for status in app.reports.shown}
    assert list(ends.values()) == ["success", "success"]


async def test_who_waited_in_vain_is_told_that_nothing_is_left_to_wait_for() -> None:
    app = an_app()
    [copy] = await settled(app, WAITING)
    await settled(app, Done(), as_received(app, copy))
    assert (app.reports.shown[-1].state, app.reports.shown[-1].description) == (
        "success",
        "nothing is left to wait for",
    )


async def test_a_wait_goes_on_counting_copies_and_replays() -> None:
    app = an_app()
    begun = RetryState("root", hop=4, replays=2)
    [copy] = await settled(app, WAITING, a_message(app, message_id="copy", properties=begun.properties()))
    assert (copy.properties["sequence"], copy.properties["replays"], copy.properties["root"]) == (
        5,
        2,
        "root",
    )


def test_looks_at_a_wait_come_after_a_quarter_of_its_time_and_a_minute_at_most() -> None:
    def pause(lasted: timedelta) -> float:
        now = START + lasted
        return (waiting_until(Waiting(SECOND, "x", patient=True), now, START) - now).total_seconds()

    assert [pause(timedelta(seconds=lasted)) for lasted in (0, 4, 40, 100, 240, 1000)] == [
        1,
        1,
        10,
        25,
        60,
        60,
    ]
    assert waiting_until(Waiting(SECOND, "x"), START, START) == START + SECOND


# ---------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (Unavailable("no answer"), [1, 2, 3]),
        (Throttled("too fast"), [1, 2, 3]),
        (AccessDenied("no role"), [1, 2, 3]),
        (Busy("409"), [0, 0, 0]),
    ],
    ids=str,
)
async def test_attempts_are_counted_but_meeting_somebody_else_is_none(
    error: MergekeyError, attempts: list[int]
) -> None:
    app, message, counted = an_app(), None, []
    for _ in range(3):
        [copy] = await settled(app, error, message)
        counted.append(copy.properties["attempt"])
        message = as_received(app, copy)
    assert counted == attempts


async def test_the_pause_doubles_and_stays_below_ten_minutes() -> None:
    app = an_app()
    started = app.clock.now()
    queued = await chain(app, lambda: Unavailable("no answer"), 5 * HOUR)
    dues = [started, *(envelope.due for envelope in queued if envelope.due)]
    pauses = [(after - before).total_seconds() for before, after in pairwise(dues)]
    nominal = [min(2.0 * 2**number, 600.0) for number in range(1, len(pauses) + 1)]
    assert all(pause / 2 <= got <= pause for got, pause in zip(pauses, nominal, strict=True))


async def test_who_is_busy_is_asked_again_soon_and_rarer_the_longer_it_lasts() -> None:
    app = an_app()
    queued = await chain(app, lambda: Busy("409"), HOUR)
    dues = [envelope.due for envelope in queued if envelope.due]
    pauses = [(after - before).total_seconds() for before, after in pairwise(dues)]
    assert pauses[0] <= 2
    assert 30 <= max(pauses) <= 60


@pytest.mark.parametrize(
    "error", [Throttled("429", retry_after=5 * MINUTE), Busy("409", retry_after=5 * MINUTE)], ids=str
)
async def test_what_the_service_asks_for_is_obeyed(error: TemporaryError) -> None:
    app = an_app()
    [copy] = await settled(app, error)
    assert copy.due is not None
    assert copy.due >= app.clock.now() + 5 * MINUTE


async def test_two_messages_that_fail_together_do_not_come_back_together() -> None:
    app = an_app()
    error = Throttled("429", retry_after=MINUTE)
    dues = {
        (await settled(app, error, a_message(app, message_id=f"d{number}/alpha")))[0].due
        for number in range(50)
    }
    assert len(dues) > 40


@pytest.mark.parametrize(
    ("error", "limit", "reason"),
    [
        (Unavailable("no answer"), timedelta(hours=24), "RetriesExhausted"),
        (Busy("409"), timedelta(hours=24), "RetriesExhausted"),
        (AccessDenied("no role"), timedelta(minutes=15), "AccessDenied"),
    ],
    ids=str,
)
async def test_trouble_is_given_up_by_its_age(error: MergekeyError, limit: timedelta, reason: str) -> None:
    app = an_app()
    started = app.clock.now()
    queued = await chain(app, lambda: error, 2 * limit)
    letter = DeadLetter.of(queued[-1].properties)
    assert (queued[-1].entity, letter.reason) == (DEAD_LETTERS, reason)
    assert limit <= app.clock.now() - started <= limit + timedelta(minutes=11)
    assert letter.attempts == (1 if isinstance(error, Busy) else len(queued))


async def test_a_success_in_between_starts_the_patience_anew() -> None:
    app = an_app()
    [copy] = await settled(app, AccessDenied("no role"))
    app.clock.advance(timedelta(minutes=20))
    [waiting] = await settled(app, WAITING, as_received(app, copy))
    [again] = await settled(app, AccessDenied("no role"), as_received(app, waiting))
    assert again.entity == TOPIC


async def test_how_long_a_role_is_missing_is_counted_by_itself() -> None:
    app = an_app()
    [copy] = await settled(app, Unavailable("no answer"))
    app.clock.advance(HOUR)
    [denied] = await settled(app, AccessDenied("no role"), as_received(app, copy))
    assert denied.entity == TOPIC
    app.clock.advance(15 * MINUTE)
    [again] = await settled(app, AccessDenied("no role"), as_received(app, denied))
    assert again.entity == DEAD_LETTERS


# -------------------------------------------------------------------------------------------------- of sweeps


def _swept(app: FakeApp, **changed: Any) -> IncomingMessage:
    """A message that a sweep set off."""
    body = a_change(app).model_copy(update={"cause": "sweep"}).encode(ROOT, "x", app.clock.now())
    return a_message(app, body=body, **changed)


async def test_trouble_that_lasts_is_left_to_the_next_sweep() -> None:
    app = an_app()
    [copy] = await settled(app, Unavailable("no answer"), _swept(app))
    assert copy.entity == TOPIC
    app.clock.advance(15 * MINUTE)
    assert await settled(app, Unavailable("no answer"), as_received(app, copy)) == []
    assert app.bus.dead_letters() == []


async def test_what_a_sweep_set_off_is_tried_on_where_a_status_says_waiting() -> None:
    """No other message gives that status its end where the next sweep finds nothing different."""
    app = an_app()
    [copy] = await settled(app, WAITING, _swept(app))
    [copy] = await settled(app, Unavailable("no answer"), as_received(app, copy))
    app.clock.advance(HOUR)
    [copy] = await settled(app, Unavailable("no answer"), as_received(app, copy))
    await settled(app, Done(wrote=False), as_received(app, copy))
    assert [each.state for each in app.reports.shown] == ["pending", "success"]


async def test_trouble_that_another_sweep_meets_is_told_again() -> None:
    app = an_app()
    for number in (1, 1, 2):
        await settled(app, NotManaged("not ours"), _swept(app, message_id=f"sweep-{number}/alpha"))
    assert [letter.properties["root"] for letter in app.bus.dead_letters()] == [
        "sweep-1/alpha",
        "sweep-2/alpha",
    ]


@given(st.text(max_size=20), st.integers(0, 1000), st.integers(0, 20))
def test_a_pause_is_between_half_and_the_whole_of_its_nominal_length(
    root: str, sequence: int, attempt: int
) -> None:
    for error, lasted, nominal in (
        (Unavailable("502"), timedelta(0), min(2 * 2**attempt, 600)),
        (Busy("409"), timedelta(0), 2),
        (Busy("409"), timedelta(seconds=80), 20),
        (Busy("409"), timedelta(hours=1), 60),
    ):
        due = retry_due(error, RetryState(root, sequence, attempt), lasted, START)
        assert nominal / 2 <= (due - START).total_seconds() <= nominal


def test_pauses_are_spread_over_the_whole_half() -> None:
    pauses = sorted(
        (
            retry_due(Unavailable("502"), RetryState(f"d{number}/alpha", 0, 20), timedelta(0), START) - START
        ).total_seconds()
        for number in range(500)
    )
    assert pauses[0] < 302
    assert pauses[-1] > 554


def test_retries_of_one_message_meet_whenever_it_was_handed_out() -> None:
    """Each time that a lock is lost the message gets one chain of retries more: without end there would be
    thousands.
    """
    looks = set()
    for start in (START + 17 * number * SECOND for number in range(50)):
        due, attempt = start, 0
        while due < START + 5 * HOUR:
            attempt += 1
            due = retry_due(Unavailable("502"), RetryState("d1/alpha", attempt, attempt), due - start, due)
            looks.add(due)
    last = {due for due in looks if START + 4 * HOUR <= due < START + 5 * HOUR}
    assert len(last) <= 15


async def test_a_stage_is_told_that_a_message_was_begun_before() -> None:
    app = an_app()
    seen: list[bool] = []

    async def work(_: App, event: Event[Any]) -> Outcome:
        seen.append(event.is_retry)
        return Done()

    for count in (1, 2):
        await settle(app, PROVISION_GATEWAY, a_message(app, delivery_count=count), work)
    assert seen == [False, True]


def test_a_message_of_somebody_else_is_counted_from_nought() -> None:
    odd = IncomingMessage(
        b"", "x1", None, START, {"sequence": -1, "attempt": "7", "waiting-since": "yesterday", "replays": 1.5}
    )
    assert RetryState.of(odd) == RetryState("x1")
    zero = replace(odd, properties={"sequence": 0, "attempt": 0, "replays": 2})
    assert RetryState.of(zero) == RetryState("x1", replays=2)


def test_an_id_of_the_greatest_length_stays_as_it_is() -> None:
    assert bounded_id("x" * MAX_ID_LENGTH) == "x" * MAX_ID_LENGTH
    longer = bounded_id("x" * (MAX_ID_LENGTH + 1))
    assert (len(longer), longer[:64]) == (MAX_ID_LENGTH, "x" * 63 + "/")


def _newer(app: FakeApp, **data: Any) -> IncomingMessage:
    """What a newer version writes: fields that are not known here, in another order, with spaces."""
    envelope = json.loads(a_message(app).body)
    envelope["data"] |= data
    return a_message(app, body=json.dumps(envelope, indent=1).encode())


NEWER: list[dict[str, Any]] = [
    {"priority": 1},
    {"change": "rotated"},
    {"cause": "preview", "until": "2027-01-01"},
]


@pytest.mark.parametrize("data", NEWER, ids=str)
async def test_a_message_of_a_newer_version_waits_for_whoever_can_read_it(data: dict[str, Any]) -> None:
    app = an_app()
    message = _newer(app, **data)
    [copy] = await settled(app, Done(), message)
    assert (copy.entity, copy.to, copy.session, copy.body) == (
        TOPIC,
        "provision-gateway",
        "alpha",
        message.body,
    )
    assert copy.due is not None
    assert app.clock.now() < copy.due <= app.clock.now() + 10 * SECOND
    assert (app.bus.dead_letters(), app.reports.shown) == ([], [])


async def test_a_newer_versions_message_that_waits_for_a_day_is_a_letter_to_replay() -> None:
    app = an_app()
    message: IncomingMessage | None = _newer(app, priority=1)
    first = message
    begun, tries = app.clock.now(), 0
    while message is not None:
        [sent] = await settled(app, Done(), message)
        tries += 1
        message = as_received(app, sent) if sent.due is not None else None
        app.clock.advance_to(sent.due or app.clock.now())
    assert 23 * HOUR < app.clock.now() - begun < 25 * HOUR
    assert tries < 300
    [letter] = [read_letter(kept) for kept in await app.dead_letters.peek(1)]
    assert (letter.stage, letter.reason, letter.actor) == (
        "provision-gateway",
        "RetriesExhausted",
        "the platform",
    )
    assert "NewerMessage: " in letter.message
    assert first is not None
    assert (letter.body, refusal(letter)) == (first.body, None)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
async def test_every_stage_lets_a_message_of_a_newer_version_wait(stage: Stage) -> None:
    app = an_app()
    known = Sweep(why="a test") if stage is SWEEP else stage.message(**a_change(app).model_dump())
    body = known.encode("x", "/repositories/1", app.clock.now()).replace(b".v1", b".v2")
    [copy] = await settled(app, Done(), a_message(app, body=body, session=known.session), stage)
    assert (copy.entity, copy.to, copy.body, copy.session) == (stage.entity, stage.to, body, known.session)
    assert copy.due is not None
