"""What is counted over all teams is counted truly at every moment: who has a part of it, and that no two get
the same part.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from shared.errors import Busy, NewerVersion, Unavailable
from shared.git import blob_id
from shared.marker import Marker, parse_marker
from shared.messaging.messages import AccessChange
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.policies.product_policy import granted_by
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.pipeline import provision_gateway
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, a_change, an_event, catalog_text, path_of
from tests.fakes.calls import Call, nothing
from tests.stages.road import Kill, Killed, a_platform, arrive, ask, drain, later, push, run, sweep

GPT, PHI = "gpt-4.1", {"phi-4": GPU}
CEILING = "    maxTokensPerMinute: 100000\n"
ONE_GPU = catalog_text().replace("perTeam: 2, total: 3", "perTeam: 1, total: 1")
_roots = count(1)


def _catalog(capacity: int = 100_000, ceiling: int = 100_000) -> str:
    return catalog_text().replace(CEILING, f"    maxTokensPerMinute: {ceiling}\n    capacity: {capacity}\n")


async def _a_platform(catalog: str = "") -> FakeApp:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: catalog or _catalog()})
    return app


def _told(app: FakeApp) -> list[tuple[str, str]]:
    return [(problem.path, problem.reason) for problem in app.reports.verdicts[-1].problems]


def _granted(app: FakeApp, model: str = GPT) -> dict[str, int | None]:
    """What the policies of products that are not withdrawn grant of a model."""
    found = {}
    for name, product in app.gateway.state.products.items():
        policy = app.gateway.state.policies.get(name)
        grants = (
            granted_by(policy.text)
            if policy and product.marker and product.marker.withdrawn is None
            else None
        )
        if grants and model in grants:
            found[name.removeprefix("team-")] = grants[model]
    return found


def _gpus(app: FakeApp) -> set[str]:
    assert app.cluster is not None
    return {home.removeprefix("team-") for home, kind, _ in app.cluster.state.objects if kind == "Workspace"}


def _marker(app: FakeApp, team: str) -> Marker:
    marker = app.gateway.state.products[f"team-{team}"].marker
    assert marker is not None
    return marker


@contextmanager
def _at(
    app: FakeApp, call: str, act: Callable[[], Awaitable[object]], when: str = "before"
) -> Iterator[None]:
    """Something else happens right before or after the first call of this name."""
    acted: list[Call] = []

    async def hook(made: Call) -> None:
        if not acted and str(made).startswith(call):
            acted.append(made)
            await act()

    setattr(app.calls, when, hook)
    yield
    setattr(app.calls, when, nothing)
    assert acted, f"{call} was not made"


# ------------------------------------------------------------------------------------------------- who counts


@pytest.mark.parametrize("spoilt", [b"oops: [", b"", b"\xff\xfe"])
async def test_what_a_team_with_a_file_that_cannot_be_read_has_counts(spoilt: bytes) -> None:
    app = await _a_platform()
    await ask(app, Asked("alpha", tokens=100_000))
    await push(app, {path_of("alpha"): spoilt})
    await ask(app, Asked("bravo", tokens=100_000))
    assert (path_of("bravo"), "AboveCapacity") in _told(app)
    assert "alpha 100,000; 0 are left" in next(
        p.message for p in app.reports.verdicts[-1].problems if p.reason == "AboveCapacity"
    )
    await sweep(app)
    assert _granted(app) == {"alpha": 100_000}


async def test_a_team_whose_file_names_a_model_wrongly_counts() -> None:
    app = await _a_platform()
    await ask(app, Asked("zulu", tokens=60_000))
    await ask(app, Asked("zulu", models=("gpt-4.l",), tokens=60_000))
    await ask(app, Asked("alpha", tokens=60_000))
    assert (path_of("alpha"), "AboveCapacity") in _told(app)
    assert _granted(app) == {"zulu": 60_000}


async def test_teams_that_are_gone_and_held_count() -> None:
    app = await _a_platform()
    for team in ("zulu", "yankee"):
        await ask(app, Asked(team, tokens=45_000))
    await ask(app, Asked("keeper", tokens=1_000))
    await push(app, {path_of("zulu"): None, path_of("yankee"): None})
    await ask(app, Asked("alpha", tokens=90_000))
    assert (path_of("alpha"), "AboveCapacity") in _told(app)
    assert _granted(app) == {"keeper": 1_000, "yankee": 45_000, "zulu": 45_000}


async def test_what_was_granted_by_an_earlier_ceiling_counts_as_it_was_granted() -> None:
    app = await _a_platform()
    unbounded = Asked("alpha").text().replace(", tokensPerMinute: 10000", "")
    await push(app, {path_of("alpha"): unbounded})
    assert _granted(app) == {"alpha": 100_000}
    lower = _catalog(ceiling=30_000)
    await push(app, {DEFAULT_CATALOG_PATH: lower, path_of("alpha"): unbounded + "oops: 1\n"})
    await ask(app, Asked("bravo", tokens=30_000))
    assert (path_of("bravo"), "AboveCapacity") in _told(app)
    assert _granted(app) == {"alpha": 100_000}


async def test_the_gpu_of_a_team_that_broke_its_file_is_its_own() -> None:
    app = await _a_platform(ONE_GPU)
    await ask(app, Asked("zulu", models=(), dedicated=PHI))
    await ask(app, Asked("zulu", models=("gpt-4.l",), dedicated=PHI))
    await ask(app, Asked("alpha", models=(), dedicated=PHI))
    assert (path_of("alpha"), "AboveCeiling") in _told(app)
    assert _gpus(app) == {"zulu"}


async def test_a_gpu_counts_until_its_workspace_is_gone() -> None:
    app = await _a_platform(ONE_GPU)
    await ask(app, Asked("keeper"))
    await ask(app, Asked("alpha", models=(), dedicated=PHI))
    await push(app, {path_of("alpha"): None})
    await ask(app, Asked("bravo", models=(), dedicated=PHI))
    assert _told(app) == [(path_of("bravo"), "AboveCeiling")]
    assert _gpus(app) == {"alpha"}
    await later(app, timedelta(hours=2))
    assert _gpus(app) == set()
    await sweep(app)
    await later(app, timedelta(minutes=5))
    assert _gpus(app) == {"bravo"}


async def test_whoever_comes_back_for_its_gpu_before_it_is_gone_has_it() -> None:
    app = await _a_platform(ONE_GPU)
    await ask(app, Asked("keeper"))
    await ask(app, Asked("alpha", models=(), dedicated=PHI))
    await push(app, {path_of("alpha"): None})
    await ask(app, Asked("alpha", models=(), dedicated=PHI))
    assert _told(app) == []
    assert _gpus(app) == {"alpha"}


async def test_a_strangers_product_at_a_teams_name_counts_with_the_teams_ceiling() -> None:
    app = await _a_platform()
    await app.gateway.create_product("team-mike", "Mike", Marker(REPOSITORY + 1, "mike", "x", "c" * 40))
    await push(app, {path_of(team): Asked(team, tokens=10_000).text() for team in ("alpha", "mike")})
    assert (path_of("alpha"), "AboveCapacity") in _told(app)
    assert "mike 100,000; 0 are left" in app.reports.verdicts[-1].problems[0].message


async def test_a_product_whose_marker_cannot_be_read_counts_with_what_its_policy_grants() -> None:
    app = await _a_platform()
    await ask(app, Asked("mike", tokens=60_000))
    product = app.gateway.state.products["team-mike"]
    app.gateway.state.products["team-mike"] = replace(product, marker=None)
    await ask(app, Asked("alpha", tokens=41_000))
    assert (path_of("alpha"), "AboveCapacity") in _told(app)
    await ask(app, Asked("alpha", tokens=40_000))
    assert _told(app) == []


async def test_a_team_whose_request_is_not_granted_takes_two_calls_of_github_at_most() -> None:
    app = await _a_platform()
    teams = [f"team{number}" for number in range(5)]
    for team in teams:
        await ask(app, Asked(team, tokens=10_000))
    app.repository.commit({path_of(team): Asked(team, tokens=9_000).text() + "oops: 1\n" for team in teams})
    app.calls.forget()
    await ask(app, Asked("alpha", tokens=60_000))
    assert _told(app) == [(path_of("alpha"), "AboveCapacity")]
    assert 0 < app.calls.names("repository").count("file") <= 2 * len(teams)


# ----------------------------------------------------------------------------------------- how it is reserved


async def test_growing_costs_one_write_more_and_only_where_the_model_has_a_capacity() -> None:
    app = await _a_platform()
    await ask(app, Asked("alpha", tokens=10_000))
    app.calls.forget()
    await ask(app, Asked("alpha", tokens=20_000))
    assert app.calls.writes("gateway") == [
        "mark_product team-alpha",
        "put_product_policy team-alpha",
        "publish_product team-alpha",
    ]
    app.calls.forget()
    await ask(app, Asked("alpha", tokens=5_000))
    assert app.calls.writes("gateway") == ["put_product_policy team-alpha", "publish_product team-alpha"]


async def test_a_new_team_costs_what_it_did_where_the_model_has_a_capacity() -> None:
    app = await _a_platform()
    await ask(app, Asked("alpha"))
    written = [call.partition(" ")[0] for call in app.calls.writes("gateway") if "alpha" in call]
    assert sorted(written) == [
        "create_product",
        "link_product",
        "publish_product",
        "put_product_policy",
        "put_subscription",
    ]


@pytest.mark.parametrize("call", ["put_product_policy", "link_product", "publish_product"])
async def test_what_is_pushed_while_another_team_is_written_does_not_get_the_same_part(call: str) -> None:
    """It comes first by name; what the other has reserved counts all the same."""
    app = await _a_platform()
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    with _at(app, f"{call} team-mike", lambda: ask(app, Asked("aaron", tokens=60_000))):
        await run(app, PROVISION_GATEWAY, "mike")
    assert (path_of("aaron"), "AboveCapacity") in _told(app)
    assert _granted(app) == {"mike": 60_000}


async def test_who_was_overtaken_before_its_reservation_gives_way_and_is_refused() -> None:
    app = await _a_platform()
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    with _at(app, "create_product team-mike", lambda: ask(app, Asked("aaron", tokens=60_000))):
        await run(app, PROVISION_GATEWAY, "mike")
    assert _granted(app) == {"aaron": 60_000}
    assert _marker(app, "mike").withdrawn is not None, "it goes after grace, and nothing of it counts"
    assert not [
        found for found in app.gateway.state.subscriptions.values() if found.product == "team-mike"
    ], "nobody has a key for it"
    await drain(app)
    assert (path_of("mike"), "AboveCapacity") in _told(app), "the check says so, by a sweep"
    assert not app.bus.dead_letters()
    await ask(app, Asked("aaron", tokens=40_000))
    await sweep(app)
    assert _granted(app) == {"aaron": 40_000, "mike": 60_000}


async def test_who_grows_and_is_overtaken_has_what_it_had_and_the_marker_that_said_so() -> None:
    app = await _a_platform()
    for team in ("alpha", "mike"):
        await ask(app, Asked(team, tokens=10_000))
    before = _marker(app, "mike")
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    with _at(app, "mark_product team-mike", lambda: ask(app, Asked("alpha", tokens=60_000))):
        await run(app, PROVISION_GATEWAY, "mike")
    assert _granted(app) == {"alpha": 60_000, "mike": 10_000}
    assert _marker(app, "mike") == before
    await drain(app)
    assert (path_of("mike"), "AboveCapacity") in _told(app)


class _Race:
    """The gateway's stages of two teams, each of which has passed its look at the branch before, and has
    reserved before either looks.
    """

    def __init__(self, app: FakeApp) -> None:
        self._app = app
        self._begun = asyncio.Event()
        self._seen = {"before": set[str](), "after": set[str]()}
        self._both = {"before": asyncio.Event(), "after": asyncio.Event()}
        app.calls.before, app.calls.after = self._before, self._after

    async def run(self, first: Asked, then: Asked) -> dict[str, Outcome]:
        """`then` is merged when the stage of `first` has begun."""
        self._app.repository.commit({path_of(first.team): first.text()})
        one = asyncio.create_task(provision_gateway(self._app, self._event(first.team)))
        await self._begun.wait()
        self._app.repository.commit({path_of(then.team): then.text()})
        other = asyncio.create_task(provision_gateway(self._app, self._event(then.team)))
        outcomes = {first.team: await one, then.team: await other}
        self._app.calls.before = self._app.calls.after = nothing
        return outcomes

    def _event(self, team: str) -> Event[AccessChange]:
        return an_event(self._app, a_change(self._app, team), f"d{next(_roots)}/{team}")

    async def _before(self, call: Call) -> None:
        await self._meet(call, "before")

    async def _after(self, call: Call) -> None:
        await self._meet(call, "after")

    async def _meet(self, call: Call, when: str) -> None:
        if call.name in ("create_product", "mark_product"):
            self._begun.set()
            self._seen[when].add(call.target)
            if len(self._seen[when]) == 2:
                self._both[when].set()
            await self._both[when].wait()


async def test_of_two_that_reserve_at_once_who_comes_first_waits_and_the_other_gives_way() -> None:
    app = await _a_platform()
    outcomes = await _Race(app).run(Asked("mike", tokens=60_000), Asked("aaron", tokens=60_000))
    assert isinstance(outcomes["aaron"], Waiting)
    assert outcomes["aaron"].reason == "CapacityInUse"
    assert isinstance(outcomes["mike"], Done)
    assert _granted(app) == {}
    assert isinstance(await run(app, PROVISION_GATEWAY, "aaron"), Done)
    assert _granted(app) == {"aaron": 60_000}
    await drain(app)
    assert _granted(app) == {"aaron": 60_000}
    assert (path_of("mike"), "AboveCapacity") in _told(app)


async def test_who_has_access_comes_before_who_is_new_when_both_reserve_at_once() -> None:
    app = await _a_platform()
    await ask(app, Asked("mike", tokens=10_000))
    outcomes = await _Race(app).run(Asked("aaron", tokens=60_000), Asked("mike", tokens=60_000))
    assert isinstance(outcomes["mike"], Waiting)
    assert isinstance(outcomes["aaron"], Done)
    assert isinstance(await run(app, PROVISION_GATEWAY, "mike"), Done)
    assert _granted(app) == {"mike": 60_000}


async def test_both_get_what_they_reserved_at_once_where_there_is_room_for_both() -> None:
    app = await _a_platform(_catalog(120_000))
    await _Race(app).run(Asked("mike", tokens=60_000), Asked("aaron", tokens=60_000))
    assert _granted(app) == {"aaron": 60_000, "mike": 60_000}


async def test_who_grows_into_what_another_gives_back_waits_until_that_is_done() -> None:
    app = await _a_platform()
    for team in ("alpha", "zulu"):
        await ask(app, Asked(team, tokens=50_000))
    sums: list[int] = []

    async def count_up(call: Call) -> None:
        if call.name == "put_product_policy":
            sums.append(sum(tokens or 0 for tokens in _granted(app).values()))

    app.calls.after = count_up
    before = app.repository.branch
    app.repository.commit(
        {
            path_of("zulu"): Asked("zulu", tokens=10_000).text(),
            path_of("alpha"): Asked("alpha", tokens=90_000).text(),
        }
    )
    await arrive(app, before)
    assert _told(app) == []
    await later(app, timedelta(minutes=1))
    assert _granted(app) == {"alpha": 90_000, "zulu": 10_000}
    assert max(sums) == 100_000


async def test_a_reservation_that_nobody_finished_counts_and_is_finished_by_the_next_look() -> None:
    app = await _a_platform()
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    for when, writes in (("after", 0), ("before", 1)):
        kill = Kill(app, writes, when)
        with pytest.raises(Killed):
            await run(app, PROVISION_GATEWAY, "mike")
        kill.restart()
    await ask(app, Asked("aaron", tokens=60_000))
    assert (path_of("aaron"), "AboveCapacity") in _told(app)
    await sweep(app)
    assert _granted(app) == {"mike": 60_000}
    assert _marker(app, "mike").digest


@pytest.mark.parametrize("writes", range(5))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_whoever_dies_while_growing_is_finished_or_has_what_it_had(writes: int, when: str) -> None:
    app = await _a_platform()
    await ask(app, Asked("mike", tokens=10_000))
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    kill = Kill(app, writes, when)
    with contextlib.suppress(Killed):
        await run(app, PROVISION_GATEWAY, "mike")
    kill.restart()
    await ask(app, Asked("aaron", tokens=60_000))
    await sweep(app)
    await later(app, timedelta(minutes=5))
    assert sum(tokens or 0 for tokens in _granted(app).values()) <= 100_000
    await sweep(app)
    await later(app, timedelta(minutes=5))
    assert _granted(app) in ({"mike": 60_000}, {"mike": 10_000, "aaron": 60_000})
    assert not app.bus.dead_letters()


async def test_a_reservation_whose_maker_died_is_given_back_when_there_is_no_room_for_it() -> None:
    """What was in force before nobody knows any more: the policy says it."""
    app = await _a_platform()
    await ask(app, Asked("mike", tokens=10_000))
    app.repository.commit({path_of("mike"): Asked("mike", tokens=60_000).text()})
    kill = Kill(app, 0, "after")
    with pytest.raises(Killed):
        await run(app, PROVISION_GATEWAY, "mike")
    kill.restart()
    await push(
        app,
        {
            DEFAULT_CATALOG_PATH: _catalog(50_000, 50_000),
            path_of("mike"): Asked("mike", tokens=50_000).text(),
        },
    )
    await ask(app, Asked("aaron", tokens=40_000))
    await push(app, {DEFAULT_CATALOG_PATH: _catalog(60_000, 50_000)})
    await sweep(app)
    assert _granted(app) == {"mike": 50_000}


async def test_a_workspace_is_made_when_its_teams_product_stands_and_not_before() -> None:
    app = await _a_platform(ONE_GPU)
    app.repository.commit({path_of("alpha"): Asked("alpha", models=(), dedicated=PHI).text()})
    app.calls.forget()
    assert await run(app, PROVISION_WORKSPACES, "alpha") == Waiting(
        timedelta(seconds=5), "ProductNotThere", revision=_blob(app, "alpha")
    )
    assert _gpus(app) == set()
    assert not app.calls.writes("cluster"), "no namespace either"
    await run(app, PROVISION_GATEWAY, "alpha")
    await run(app, PROVISION_WORKSPACES, "alpha")
    assert _gpus(app) == {"alpha"}


async def test_of_two_that_ask_for_the_only_gpu_at_once_one_gets_it() -> None:
    app = await _a_platform(ONE_GPU)
    await _Race(app).run(Asked("mike", models=(), dedicated=PHI), Asked("aaron", models=(), dedicated=PHI))
    for team in ("mike", "aaron"):
        await run(app, PROVISION_WORKSPACES, team)
    assert _gpus(app) == set()
    await run(app, PROVISION_GATEWAY, "aaron")
    for team in ("mike", "aaron"):
        await run(app, PROVISION_WORKSPACES, team)
    assert _gpus(app) == {"aaron"}


def _blob(app: FakeApp, team: str) -> str:
    return blob_id(app.repository.files()[path_of(team)][0])


async def test_a_team_too_many_for_the_tier_is_refused_until_there_is_room() -> None:
    app = await a_platform()
    app.platform = replace(app.platform, tier="developer")
    for number in range(98):
        await app.gateway.create_product(
            f"theirs{number}", f"Theirs {number}", Marker(REPOSITORY + 1, "x", "x", "c" * 40)
        )
    for team in ("alpha", "bravo"):
        await ask(app, Asked(team))
        assert _told(app) == []
    await push(app, {path_of(f"new{number}"): Asked(f"new{number}").text() for number in range(100)})
    assert {reason for _, reason in _told(app)} == {"PlatformFull"}
    assert len(_told(app)) == 100
    assert "'developer'" in app.reports.verdicts[-1].problems[0].message
    assert not app.bus.dead_letters()
    app.gateway.state.products.pop("theirs0")
    await sweep(app)
    assert len(app.gateway.state.products) == 100


async def test_a_marker_with_an_unreadable_commit_counts_what_its_policy_grants() -> None:
    app = await _a_platform()
    await ask(app, Asked("mike", tokens=60_000))
    product = app.gateway.state.products["team-mike"]
    garbled = replace(_marker(app, "mike"), commit="", unreadable=frozenset({"commit"}))
    app.gateway.state.products["team-mike"] = replace(product, marker=garbled)
    await push(app, {path_of("mike"): "team: ["})
    app.calls.forget()
    await ask(app, Asked("alpha", tokens=41_000))
    assert (path_of("alpha"), "AboveCapacity") in _told(app)
    assert "file" not in app.calls.names("repository")
    await ask(app, Asked("alpha", tokens=40_000))
    assert _granted(app) == {"alpha": 40_000, "mike": 60_000}


async def test_a_product_of_a_newer_version_is_told_by_the_workspaces_stage_too() -> None:
    app = await _a_platform(ONE_GPU)
    await ask(app, Asked("alpha"))
    product = app.gateway.state.products["team-alpha"]
    app.gateway.state.products["team-alpha"] = replace(
        product, marker=replace(_marker(app, "alpha"), newer=True)
    )
    app.repository.commit({path_of("alpha"): Asked("alpha", dedicated=PHI).text()})
    with pytest.raises(NewerVersion):
        await run(app, PROVISION_WORKSPACES, "alpha")
    assert _gpus(app) == set()


# ------------------------------------------------------------------------------------------ who comes back


async def test_sleeping_keys_wake_under_the_new_policy() -> None:
    """A team that comes back and asks for less: what it had would be in force until its policy is written."""
    app = await _a_platform()
    await ask(app, Asked("bravo", tokens=10_000))
    await ask(app, Asked("mike", tokens=60_000))
    await push(app, {path_of("mike"): None})
    await ask(app, Asked("aaron", tokens=60_000))
    app.repository.commit({path_of("mike"): Asked("mike", tokens=30_000).text()})

    async def fail() -> None:
        raise Unavailable("503")

    def asked() -> int:
        return sum(sent.entity == DELIVER_KEYS.entity and sent.session == "mike" for sent in app.bus.sent)

    before = asked()
    with _at(app, "put_product_policy team-mike", fail), pytest.raises(Unavailable):
        await run(app, PROVISION_GATEWAY, "mike")
    assert asked() == before, "its old policy is in force"
    await run(app, PROVISION_GATEWAY, "mike")
    assert asked() == before + 1


async def test_a_late_marker_is_refused_when_the_policy_was_rewritten_meanwhile() -> None:
    """The branch takes a lower limit back while it is written. Its marker would make others believe that the
    rest is free.
    """
    app = await _a_platform()
    await ask(app, Asked("alpha", tokens=60_000))
    higher = app.repository.files()[path_of("alpha")][0]
    app.repository.commit({path_of("alpha"): Asked("alpha", tokens=10_000).text()})

    async def taken_back() -> None:
        app.repository.commit({path_of("alpha"): higher})
        await run(app, PROVISION_GATEWAY)

    with _at(app, "put_product_policy team-alpha", taken_back, "after"), pytest.raises(Busy):
        await run(app, PROVISION_GATEWAY)
    assert _granted(app) == {"alpha": 60_000}
    await ask(app, Asked("bravo", tokens=50_000))
    assert (path_of("bravo"), "AboveCapacity") in _told(app)


async def test_what_a_newer_version_looks_after_gives_nothing_back() -> None:
    app = await _a_platform()
    await ask(app, Asked("alpha", tokens=60_000))
    product = app.gateway.state.products["team-alpha"]
    newer = parse_marker(f"{product.marker}; rotated 2026-03-02T09:00:00Z")
    app.gateway.state.products["team-alpha"] = replace(product, marker=newer)
    app.repository.commit({path_of("alpha"): Asked("alpha", tokens=10_000).text()})
    await ask(app, Asked("bravo", tokens=50_000))
    assert (path_of("bravo"), "AboveCapacity") in _told(app)


@pytest.mark.parametrize("left", ["invalid", "held"])
async def test_a_first_policy_that_was_written_late_over_a_newer_one_counts(left: str) -> None:
    """No ETag fences the first policy of a product. Its handler comes back, and finds that the team's file
    says nothing by which the policy could be written again.
    """
    app = await _a_platform()
    await ask(app, Asked("alpha", tokens=60_000))
    late = app.gateway.state.policies["team-alpha"]
    await ask(app, Asked("alpha", tokens=10_000))
    if left == "invalid":
        await push(app, {path_of("alpha"): b"oops: ["})
    else:
        for team in ("zulu", "yankee"):
            await ask(app, Asked(team, models=("text-embedding-3-large",)))
        await push(app, {path_of("alpha"): None, path_of("zulu"): None})
        assert _marker(app, "alpha").held
    app.gateway.state.policies["team-alpha"] = late
    event = an_event(app, a_change(app, "alpha"), "d9/alpha")
    await provision_gateway(app, event)
    assert _marker(app, "alpha").digest, "a message that comes for the first time reads no policy"
    await provision_gateway(app, replace(event, is_retry=True))
    assert not _marker(app, "alpha").digest
    await ask(app, Asked("bravo", tokens=50_000))
    assert (path_of("bravo"), "AboveCapacity") in _told(app)
    assert _granted(app) == {"alpha": 60_000}
    await ask(app, Asked("alpha", tokens=10_000))
    await ask(app, Asked("bravo", tokens=50_001))
    assert _granted(app) == {"alpha": 10_000, "bravo": 50_001}


async def test_a_gpu_that_cannot_be_seen_counts_until_it_was_seen_gone() -> None:
    app = await _a_platform(ONE_GPU)
    assert app.cluster is not None
    await ask(app, Asked(dedicated=PHI))
    await push(app, {path_of("alpha"): None, path_of("stays"): Asked(team="stays").text()})
    assert _gpus(app) == {"alpha"}
    app.cluster.not_served.add("Workspace")
    await push(app, {path_of("bravo"): Asked(team="bravo", dedicated=PHI).text()})
    assert _told(app) == [(path_of("bravo"), "AboveCeiling")]
    app.cluster.not_served.clear()
    await later(app, timedelta(hours=2))
    assert _gpus(app) == set()
    await sweep(app)
    await later(app, timedelta(minutes=5))
    assert _gpus(app) == {"bravo"}
