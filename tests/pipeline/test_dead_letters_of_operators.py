"""Replay and discard: nothing lost, nothing done twice, nothing that nobody saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared import dead_letters
from shared.dead_letters import Answer, Order
from shared.domain.letters import MOST_REPLAYS, Filter
from shared.domain.names import product
from shared.domain.paths import DEFAULT_CATALOG_PATH
from shared.errors import Rejected, Unavailable
from shared.letters import letters
from shared.messages import DeadLetter, Sweep
from shared.ports import Envelope
from shared.settlement import start_sweep
from shared.stages import DEAD_LETTERS, DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_PROJECTS, PROVISION_WORKSPACES, SWEEP, TOPIC, Stage
from shared.successors import sweep
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call, nothing
from tests.pipeline.road import Kill, Killed, a_platform, a_team, ask, drain, later, push, shown, withdraw, world

MINUTES = timedelta(minutes=11)


class Refusing:
    """A gateway, or whatever the call's name is of, that refuses for good, as often as it is asked."""

    def __init__(self, app: FakeApp, name: str = "put_product_policy") -> None:
        self._app = app
        self._name = name

    async def __call__(self, call: Call) -> None:
        if call.name == self._name:
            raise Rejected("API Management answered 400")

    def __enter__(self) -> None:
        self._app.calls.before = self

    def __exit__(self, *_: object) -> None:
        self._app.calls.before = nothing


async def a_dead_letter(asked: Asked | None = None, name: str = "put_product_policy") -> FakeApp:
    """A platform with a team whose provisioning failed for good."""
    app = await a_platform()
    with Refusing(app, name):
        await ask(app, asked or Asked())
    app.calls.forget()
    return app


async def numbers(app: FakeApp) -> list[int]:
    return [letter.sequence async for letter in letters(app)]


async def replay(app: FakeApp, *sequences: int, dry_run: bool = False) -> list[Answer]:
    answers = await dead_letters.replay(app, Order(sequences or await numbers(app), "olivia", dry_run))
    await drain(app)
    return answers


async def discard(app: FakeApp, *sequences: int, **options: Any) -> list[Answer]:
    return await dead_letters.discard(app, Order(sequences or await numbers(app), "olivia"), "because", **options)


async def sweep_now(app: FakeApp, verdict: bool = False) -> list[Envelope]:
    """What a sweep queues; then everything that is due happens."""
    app.clock.advance(MINUTES)
    seen = len(app.bus.sent)
    if verdict:
        await app.bus.send([sweep(app, Sweep(why="a test", verdict=True), f"s{seen}/sweep", app.clock.now())])
    else:
        await start_sweep(app, "a test")
    await drain(app)
    return [sent for sent in app.bus.sent[seen:] if sent.entity == TOPIC and sent.due is None]


def outcomes(answers: list[Answer]) -> list[str]:
    return [answer.outcome for answer in answers]


# ------------------------------------------------------------------------------------------------------------------ replay


async def test_a_replay_goes_to_the_one_stage_that_failed_as_the_message_it_was() -> None:
    app = await a_dead_letter()
    [letter] = app.bus.dead_letters()
    seen = len(app.bus.sent)
    assert outcomes(await dead_letters.replay(app, Order(await numbers(app), "olivia"))) == ["replayed"]
    [sent] = app.bus.sent[seen:]
    assert (sent.entity, sent.to, sent.session, sent.body) == (TOPIC, "provision-gateway", "alpha", letter.body)
    assert sent.message_id == f"{letter.message_id}/replay/1"
    assert dict(sent.properties) == {"root": letter.properties["root"], "sequence": 0, "attempt": 0, "replays": 1}
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


@pytest.mark.parametrize("late", [timedelta(0), MINUTES], ids=["at once", "after the window of duplicate detection"])
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


async def test_retries_of_a_replay_are_numbered_on_so_that_none_is_taken_for_an_earlier_one() -> None:
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
    assert (letter.chain, letter.replays, letter.attempts) == (2, 1, 2)


async def test_replays_are_counted_and_come_to_an_end() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        for number in range(MOST_REPLAYS):
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


async def test_letters_are_replayed_in_the_order_in_which_they_came_and_after_a_failure_no_more() -> None:
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
    answers = await dead_letters.replay(app, Order([third, second, first], "olivia"))
    app.calls.before = nothing
    assert [(answer.sequence, answer.outcome) for answer in answers] == [(first, "replayed"), (second, "failed"), (third, "untried")]
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
    ("properties", "body"), [({}, b"\xff"), ({"stage": 7}, b"[]"), ({"stage": "sweeps", "team": "x"}, b"{}")], ids=["none", "number", "few"]
)
async def test_a_message_of_somebody_else_is_shown_and_can_only_be_discarded(properties: dict[str, Any], body: bytes) -> None:
    app = await a_platform()
    await app.bus.send([Envelope(DEAD_LETTERS, "foreign", body, properties=properties)])
    page = await dead_letters.listing(app, Filter(), 1, 10)
    assert [(letter.stage, letter.reason) for letter in page.letters] == [("", "MalformedMessage")]
    assert outcomes(await replay(app)) == ["refused"]
    assert outcomes(await discard(app)) == ["discarded"]


async def test_a_stage_that_there_is_no_more_is_told() -> None:
    app = await a_platform()
    about = DeadLetter("provision-nothing", "alpha", "X", "x", "the team", 1, "m", "alpha", "m", 0)
    await app.bus.send([Envelope(DEAD_LETTERS, "old", b"{}", properties=about.properties())])
    [answer] = await replay(app)
    assert (answer.outcome, "provision-nothing" in answer.why) == ("refused", True)


# -------------------------------------------------------------------------------------------------------------------- list


async def test_a_list_comes_in_pages_with_the_groups_of_all_on_the_first() -> None:
    app = await a_platform()
    about = DeadLetter("sweeps", "sweep", "Rejected", "x", "the platform", 1, "m", "sweep", "m", 0)
    ids = [f"letter-{number}" for number in range(600)]
    await app.bus.send([Envelope(DEAD_LETTERS, each, b"{}", properties=about.properties()) for each in ids])
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


# ----------------------------------------------------------------------------------------------------------------- discard


async def test_after_a_discard_the_next_sweep_looks_again() -> None:
    app = await a_dead_letter()
    assert outcomes(await discard(app)) == ["discarded"]
    assert len(await sweep_now(app)) == 1
    assert world(app) == world(await a_team())


async def test_a_discard_makes_the_next_sweep_look_even_where_lists_show_nothing() -> None:
    app = await a_team()
    about = DeadLetter("deliver-keys", "alpha", "X", "x", "the platform", 1, "m", "alpha", "m", 0)
    await app.bus.send([Envelope(DEAD_LETTERS, "x", b"{}", properties=about.properties())])
    before = world(app)
    assert await sweep_now(app) == []
    await discard(app)
    assert [sent.session for sent in await sweep_now(app)] == ["alpha"]
    assert world(app) == before
    assert await sweep_now(app) == []


async def test_trouble_that_is_still_there_after_a_discard_is_a_letter_again() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        for _ in range(3):
            await discard(app)
            await sweep_now(app)
            assert len(app.bus.dead_letters()) == 1


async def test_a_discard_touches_no_product_that_is_not_ours() -> None:
    app = await a_dead_letter()
    name = product("alpha")
    foreign = replace(app.gateway.state.products[name], marker=None, published=True)
    app.gateway.state.products[name] = foreign
    await discard(app)
    assert app.gateway.state.products[name] == foreign


async def test_a_discard_publishes_nothing_that_is_not_finished() -> None:
    app = await a_dead_letter()
    await discard(app)
    assert not app.gateway.state.products[product("alpha")].published


async def test_a_discard_that_cannot_mark_the_product_keeps_the_letter() -> None:
    app = await a_team()
    with Refusing(app):
        await ask(app, Asked(tokens=2000))
    with Refusing(app, "publish_product"):
        assert outcomes(await discard(app)) == ["failed"]
    assert outcomes(await discard(app)) == ["discarded"]


def _each(team: str, *stages: str) -> list[tuple[str | None, str | None]]:
    """What is addressed to each of these stages."""
    return [(team, f"provision-{stage}") for stage in stages]


async def test_only_letters_of_teams_that_converged_are_discarded_as_such() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        await ask(app, Asked(team="bravo"))
    alpha, bravo = await numbers(app)
    await ask(app, Asked(tokens=2000))
    assert [(each.sequence, each.outcome) for each in await discard(app, only_converged=True)] == [(alpha, "discarded"), (bravo, "refused")]
    assert addressed(await sweep_now(app)) == _each("bravo", "workspaces", "projects"), "who has converged need not be looked at again"


async def test_a_team_whose_file_cannot_be_read_has_not_converged() -> None:
    app = await a_dead_letter()
    app.repository.commit({path_of("alpha"): "nonsense: ["})
    [answer] = await discard(app, only_converged=True)
    assert (answer.outcome, answer.why) == ("refused", "its team is not known to have converged")


async def test_a_letter_of_an_earlier_withdrawal_does_not_keep_a_later_one_off() -> None:
    app = await a_team()
    await ask(app, Asked(team="zulu"))
    with Refusing(app, "update"):
        await withdraw(app)
    assert len(await numbers(app)) == 1
    await ask(app, Asked())
    assert app.gateway.state.subscriptions["team-alpha"].state == "active"
    app.repository.commit({path_of("alpha"): None})
    await sweep_now(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert app.vault.value("alpha-primary-key") is None


async def test_who_is_in_force_stays_so_in_the_ledgers_after_a_discard() -> None:
    """The mark that a discard takes away vouches for what is written, not for whether anything is."""
    lower = catalog_text().replace("    maxTokensPerMinute: 100000\n", "    maxTokensPerMinute: 10000\n    capacity: 20000\n", 1)
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: lower})
    await push(app, {path_of(team): Asked(team=team, tokens=10_000).text() for team in ("alpha", "bravo")})
    await push(app, {DEFAULT_CATALOG_PATH: lower.replace("capacity: 20000", "capacity: 15000")})
    app.gateway.state.subscriptions["team-alpha"] = replace(app.gateway.state.subscriptions["team-alpha"], state="suspended")
    with Refusing(app, "versions"):
        await sweep_now(app)
    app.gateway.state.subscriptions["team-alpha"] = replace(app.gateway.state.subscriptions["team-alpha"], state="active")
    assert len(await numbers(app)) == 1
    await discard(app)
    app.gateway.state.links.discard(("team-alpha", "ai"))
    await sweep_now(app, verdict=True)
    assert [problem.reason for problem in app.reports.verdicts[-1].problems if problem.level == "failure"] == []
    assert ("team-alpha", "ai") in app.gateway.state.links


async def test_a_team_whose_models_do_not_serve_has_not_converged() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    about = DeadLetter("provision-workspaces", "alpha", "WaitedTooLong", "x", "the platform", 1, "m", "alpha", "m", 0)
    await app.bus.send([Envelope(DEAD_LETTERS, "x", b"{}", properties=about.properties())])
    assert outcomes(await discard(app, only_converged=True)) == ["refused"]
    await later(app, timedelta(minutes=30))
    assert outcomes(await discard(app, only_converged=True)) == ["discarded"]


async def test_without_a_valid_catalogue_nobody_is_known_to_have_converged() -> None:
    app = await a_dead_letter()
    await ask(app, Asked(tokens=2000))
    await push(app, {app.places.catalog: "models: []\n"})
    assert outcomes(await discard(app, only_converged=True)) == ["refused"]


# ------------------------------------------------------------------------------------------------------------------ sweeps


def addressed(sent: list[Envelope]) -> list[tuple[str | None, str | None]]:
    return [(envelope.session, envelope.to) for envelope in sent]


async def test_a_sweep_leaves_to_people_what_waits_for_them_and_sends_the_team_to_the_other_stage() -> None:
    app = await a_dead_letter(Asked(dedicated={"phi-4": GPU}))
    await ask(app, Asked(team="bravo"))
    app.vault.kept.clear()
    assert sorted(addressed(await sweep_now(app)), key=str) == sorted([*_each("alpha", "workspaces", "projects"), ("bravo", "all")])


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        (PROVISION_GATEWAY, _each("alpha", "workspaces", "projects")),
        (DELIVER_KEYS, _each("alpha", "workspaces", "projects")),
        (PROVISION_WORKSPACES, _each("alpha", "gateway", "projects")),
        (PROVISION_PROJECTS, _each("alpha", "gateway", "workspaces")),
        (SWEEP, [("alpha", "all")]),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else "",
)
async def test_each_stage_stands_for_itself_and_keys_for_the_gateway_that_asks_for_them(
    stage: Stage, left: list[tuple[str | None, str | None]]
) -> None:
    app = await a_team()
    await _letter_about_alpha(app, stage)
    app.gateway.state.links.clear()
    assert addressed(await sweep_now(app)) == left


async def _letter_about_alpha(app: FakeApp, stage: Stage) -> None:
    [sent] = [sent for sent in app.bus.sent if sent.entity == TOPIC and sent.session == "alpha"]
    about = DeadLetter(stage.name, "alpha", "X", "x", "the platform", 1, "m", "alpha", "m", 0)
    await app.bus.send([Envelope(DEAD_LETTERS, f"x-{stage.name}", sent.body, properties=about.properties())])


async def test_with_letters_of_all_its_stages_a_team_is_not_queued() -> None:
    app = await a_team()
    for stage in (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS):
        await _letter_about_alpha(app, stage)
    app.gateway.state.links.clear()
    assert await sweep_now(app) == []


async def test_another_request_of_the_team_is_other_trouble() -> None:
    app = await a_dead_letter()
    app.repository.commit({path_of("alpha"): Asked(tokens=2000).text()})
    assert addressed(await sweep_now(app)) == [("alpha", "all")]
    assert app.gateway.state.links


async def test_after_a_day_a_sweep_tries_again() -> None:
    app = await a_dead_letter()
    assert "all" not in [sent.to for sent in await sweep_now(app)]
    app.clock.advance(timedelta(days=1))
    assert addressed(await sweep_now(app)) == [("alpha", "all")]


async def test_what_a_push_wants_to_be_looked_at_is_tried_whatever_waits_for_people() -> None:
    app = await a_dead_letter()
    assert addressed(await sweep_now(app, verdict=True)) == [("alpha", "all")]


async def test_where_nothing_differs_no_letter_is_read() -> None:
    app = await a_team()
    app.calls.forget()
    await sweep_now(app)
    assert app.calls.names("dead-letters") == []


async def test_a_sweep_that_shall_only_report_queues_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team()
    app.gateway.state.links.clear()
    app.sweep_report_only = True
    assert await sweep_now(app) == []
    assert "alpha: its product is not linked" in caplog.text
    app.sweep_report_only = False
    assert len(await sweep_now(app)) == 1
