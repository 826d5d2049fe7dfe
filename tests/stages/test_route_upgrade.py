"""Standing routes are brought to today's form: one first, then tens, and none any more when a road fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from shared.gateway_api.road import ANNOTATION as ROAD
from shared.gateway_api.road import NotReached, RoadAnswer, RoadNote, Unserved, read_note
from shared.marker import Marker
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Limit
from shared.resources.desired import compile_workspaces
from shared.resources.network_policy import policy_forms
from shared.resources.route_upgrade import ANNOTATION, standing_policy
from shared.resources.routes import form_of
from shared.resources.workspaces import LIMITS
from tests.fakes.app import GPU, Asked, FakeApp, a_catalog, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster, Kept
from tests.fakes.gateways import GATEWAY
from tests.fakes.roads import FakeRoads
from tests.stages.road import a_platform, later, push, shown, sweep

TEAMS = tuple(f"team{number:02}x" for number in range(25))
MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
CATALOG = catalog_text().replace("perTeam: 2, total: 3", "perTeam: 2, total: 30")


def cluster_of(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


def roads_of(app: FakeApp) -> FakeRoads:
    assert app.roads is not None
    return app.roads


def route(app: FakeApp, team: str) -> Kept:
    return cluster_of(app).state.objects[f"team-{team}", "HTTPRoute", "phi-4"]


def forms(app: FakeApp, teams: tuple[str, ...] = TEAMS) -> dict[str, int]:
    """How many routes have each form."""
    found = [form_of(route(app, team).manifest["spec"], f"team-{team}", "phi-4") for team in teams]
    return {form: found.count(form) for form in sorted(set(found))}


async def standing(*teams: str) -> FakeApp:
    """An app of teams whose phi-4 serves by routes that an earlier version wrote."""
    app = await a_platform()
    asked = {team: Asked(team=team, dedicated={"phi-4": GPU}) for team in teams}
    await push(
        app, {DEFAULT_CATALOG_PATH: CATALOG, **{path_of(team): each.text() for team, each in asked.items()}}
    )
    await later(app, timedelta(hours=1))
    for team, each in asked.items():
        desired = compile_workspaces(each.read(a_catalog(CATALOG)), a_catalog(CATALOG), app.platform)
        kept = route(app, team)
        kept.manifest, kept.generation, kept.annotations = desired.earlier_routes["phi-4"], 1, {}
    app.calls.forget()
    return app


@cache
def _standing_bytes() -> list[bytes]:
    return []


async def twenty_five() -> FakeApp:
    """A copy of one app, because it takes seconds to make."""
    made = _standing_bytes()
    if not made:
        made.append(pickle.dumps(await standing(*TEAMS)))
    copied: FakeApp = pickle.loads(made[0])
    return copied


async def next_sweep(app: FakeApp, deep: bool = False) -> None:
    await sweep(app, deep)
    await later(app, QUARTER)


def of_cluster(app: FakeApp, kind: str) -> list[str]:
    return [each for each in app.calls.writes("cluster") if each.startswith(kind)]


async def test_nothing_that_stands_is_written_before_its_road_was_asked() -> None:
    app = await twenty_five()
    await sweep(app)
    assert app.calls.writes("cluster") == []
    assert forms(app) == {"prefix": 25}


async def test_one_route_goes_first_and_then_ten_at_a_time() -> None:
    app = await twenty_five()
    await sweep(app, deep=True)
    await sweep(app)
    assert forms(app) == {"exact": 1, "prefix": 24}
    await sweep(app)
    assert forms(app) == {"exact": 1, "prefix": 24}, "it is not proven yet"
    await later(app, MINUTE)
    await sweep(app)
    assert forms(app) == {"exact": 11, "prefix": 14}
    await later(app, MINUTE)
    for _ in range(2):
        await next_sweep(app)
    assert forms(app) == {"exact": 25}


async def test_no_route_names_a_host_beside_one_that_names_none() -> None:
    app = await standing("alpha")
    files: dict[str, str | bytes | None] = {
        path_of(team): Asked(team=team, dedicated={"phi-4": GPU}).text() for team in ("alpha", "bravo")
    }
    await push(app, files)
    assert "hostnames" not in route(app, "bravo").manifest["spec"]
    await later(app, timedelta(hours=1))
    await next_sweep(app, deep=True)
    for _ in range(3):
        await next_sweep(app)
    assert forms(app, ("alpha", "bravo")) == {"exact": 2}
    assert [note and note.verdict.word for note in map(_note(app), ("alpha", "bravo"))] == ["Answers"] * 2
    app.calls.forget()
    await next_sweep(app, deep=True)
    assert app.calls.writes("cluster") == []


async def test_each_route_is_written_once_and_nothing_else_is() -> None:
    app = await twenty_five()
    await sweep(app, deep=True)
    for _ in range(6):
        await next_sweep(app)
    assert sorted(of_cluster(app, "apply")) == sorted(f"apply HTTPRoute team-{team}/phi-4" for team in TEAMS)
    verdicts = [f"annotate_route team-{team}/phi-4" for team in TEAMS]
    assert sorted(of_cluster(app, "annotate")) == sorted(verdicts * 3), "answers; tried; proven"
    assert len(app.calls.writes("cluster")) == 4 * len(TEAMS)
    assert [note and note.verdict.word for note in map(_note(app), TEAMS)] == ["Answers"] * len(TEAMS)
    assert not [team for team in TEAMS if ANNOTATION in route(app, team).annotations]


def _note(app: FakeApp) -> Callable[[str], RoadNote | None]:
    return lambda team: read_note(route(app, team).annotations.get(ROAD))


async def test_a_road_that_fails_puts_the_old_route_back_and_stops(caplog: pytest.LogCaptureFixture) -> None:
    app = await twenty_five()
    await sweep(app, deep=True)
    _fail_in_the_new_form(app, TEAMS[0], Unserved(404))
    await next_sweep(app)
    assert forms(app) == {"prefix": 25}
    assert route(app, TEAMS[0]).annotations[ANNOTATION].startswith("kept prefix ")
    app.calls.forget()
    for _ in range(3):
        await next_sweep(app, deep=True)
    assert of_cluster(app, "apply") == []
    assert f"route team-{TEAMS[0]}/phi-4 has its earlier form back" in caplog.text
    assert shown(app, TEAMS[0])["workspaces"].startswith("success: ")


async def test_when_one_of_ten_fails_no_more_begin_and_the_others_are_proven() -> None:
    app = await twenty_five()
    await sweep(app, deep=True)
    _fail_in_the_new_form(app, TEAMS[4], Unserved(503))
    for _ in range(5):
        await next_sweep(app)
    assert forms(app) == {"exact": 10, "prefix": 15}
    assert forms(app, TEAMS[:11]) == {"exact": 10, "prefix": 1}


async def test_the_upgrade_goes_on_when_a_person_takes_the_mark_off() -> None:
    app = await standing("alpha", "bravo")
    await sweep(app, deep=True)
    _fail_in_the_new_form(app, "alpha", Unserved(404))
    await next_sweep(app)
    roads_of(app).answers.clear()
    app.calls.before = _nothing
    del route(app, "alpha").annotations[ANNOTATION]
    await next_sweep(app, deep=True)
    for _ in range(3):
        await next_sweep(app)
    assert forms(app, ("alpha", "bravo")) == {"exact": 2}


async def test_where_roads_cannot_be_asked_none_is_upgraded(caplog: pytest.LogCaptureFixture) -> None:
    app = await twenty_five()
    roads_of(app).reachable = False
    for _ in range(3):
        caplog.clear()
        await next_sweep(app, deep=True)
    assert forms(app) == {"prefix": 25}
    assert of_cluster(app, "apply") == []
    told = [each for each in caplog.messages if "cannot be asked from the workers" in each]
    assert len(told) == 1
    assert "25 routes" in told[0]


async def test_a_road_that_does_not_answer_before_is_left_as_it_is() -> None:
    app = await standing("alpha", "bravo")
    roads_of(app).answers["team-alpha/phi-4"] = Unserved(503)
    await sweep(app, deep=True)
    for _ in range(3):
        await next_sweep(app)
    assert forms(app, ("alpha",)) == {"prefix": 1}
    assert forms(app, ("bravo",)) == {"exact": 1}


async def test_an_old_answer_of_a_controller_that_is_away_proves_nothing() -> None:
    app = await standing("alpha")
    await sweep(app, deep=True)
    found = await cluster_of(app).routes("team-alpha")
    cluster_of(app).said["team-alpha/phi-4"] = found[0].parents
    await next_sweep(app)
    assert forms(app, ("alpha",)) == {"prefix": 1}
    assert "kept" in route(app, "alpha").annotations[ANNOTATION]


async def test_a_road_that_is_lost_from_sight_on_the_way_keeps_the_new_route() -> None:
    app = await standing("alpha", "bravo")
    await sweep(app, deep=True)
    _fail_in_the_new_form(app, "alpha", NotReached("no connection"))
    await next_sweep(app)
    assert forms(app, ("alpha",)) == {"exact": 1}
    assert ANNOTATION not in route(app, "alpha").annotations


async def test_a_message_that_was_lost_on_the_way_is_made_good_by_a_sweep() -> None:
    app = await standing("alpha")
    await sweep(app, deep=True)
    await sweep(app)
    assert route(app, "alpha").annotations[ANNOTATION].startswith("tried prefix ")
    for queue in app.bus.queues.values():
        queue.clear()
    app.clock.advance(QUARTER)
    await next_sweep(app)
    assert ANNOTATION not in route(app, "alpha").annotations
    assert forms(app, ("alpha",)) == {"exact": 1}


def policy(app: FakeApp, team: str = "alpha") -> str | None:
    """The form of the team's network policy."""
    assert app.platform.cluster is not None
    cluster = replace(app.platform.cluster, controller="envoy-gateway")
    forms = policy_forms(Marker(app.platform.repository, team, "", ""), cluster)
    kept = cluster_of(app).state.objects[f"team-{team}", "NetworkPolicy", LIMITS["NetworkPolicy"]]
    return standing_policy(forms, [Limit("NetworkPolicy", "", managed=True, spec=kept.manifest["spec"])])


async def with_controller(*teams: str, is_set: bool = True) -> FakeApp:
    """An app of teams whose routes and policies are of an earlier version, at Envoy Gateway: the setting says
    so (`is_set`), or the Gateway's class.
    """
    app = await standing(*teams)
    assert app.platform.cluster is not None
    cluster_of(app).gateways = {GATEWAY.name: replace(GATEWAY, class_name="eg")}
    for team in teams:
        earlier = policy_forms(Marker(app.platform.repository, team, "", ""), app.platform.cluster).earlier
        key = f"team-{team}", "NetworkPolicy", LIMITS["NetworkPolicy"]
        cluster_of(app).state.objects[key].manifest = earlier
    if is_set:
        app.platform = app.platform.with_controller("envoy-gateway")
    return app


@pytest.mark.parametrize("is_set", [True, False])
async def test_a_policy_is_widened_with_the_route_and_narrowed_when_that_is_proven(is_set: bool) -> None:
    app = await with_controller("alpha", is_set=is_set)
    await sweep(app, deep=True)
    assert policy(app) == "earlier"
    await sweep(app)
    assert (policy(app), forms(app, ("alpha",))) == ("wide", {"exact": 1})
    await later(app, QUARTER)
    await next_sweep(app)
    assert policy(app) == "narrow"
    assert ANNOTATION not in route(app, "alpha").annotations
    app.calls.forget()
    await next_sweep(app, deep=True)
    assert app.calls.writes("cluster") == []


async def test_a_policy_that_keeps_the_proxies_out_is_widened_at_once() -> None:
    app = await with_controller("alpha")
    roads_of(app).answers["team-alpha/phi-4"] = Unserved(503)
    await sweep(app, deep=True)
    await sweep(app)
    assert (policy(app), forms(app, ("alpha",))) == ("wide", {"prefix": 1})


async def test_a_policy_under_which_calls_fail_is_widened_again_and_stops_the_upgrade() -> None:
    app = await with_controller("alpha", "bravo")
    await sweep(app, deep=True)

    async def before(call: Call) -> None:
        if call.name == "ask":
            roads_of(app).answers.clear()
            team = call.target.partition("/")[0].removeprefix("team-")
            if policy(app, team) == "narrow":
                roads_of(app).answers[call.target] = Unserved(503)

    app.calls.before = before
    for _ in range(6):
        await next_sweep(app)
    assert policy(app) == "wide"
    assert route(app, "alpha").annotations[ANNOTATION].startswith("kept policy ")
    app.calls.forget()
    for _ in range(2):
        await next_sweep(app)
    assert "narrow" not in (policy(app), policy(app, "bravo"))
    assert of_cluster(app, "apply") == []


async def _nothing(_: Call) -> None:
    """No call is disturbed."""


def _fail_in_the_new_form(app: FakeApp, team: str, answer: RoadAnswer) -> None:
    """From the moment at which its route has today's form, this is answered at its end."""
    name = f"team-{team}/phi-4"

    async def before(call: Call) -> None:
        if call.name == "ask" and call.target == name:
            is_new = form_of(route(app, team).manifest["spec"], f"team-{team}", "phi-4") == "exact"
            roads_of(app).answers.pop(name, None)
            if is_new:
                roads_of(app).answers[name] = answer

    app.calls.before = before


async def test_what_a_model_serves_from_now_on_is_opened_and_the_rest_left() -> None:
    app = await a_platform()
    files = {path_of(team): Asked(team=team, dedicated={"phi-4": GPU}).text() for team in TEAMS[:2]}
    await push(app, {DEFAULT_CATALOG_PATH: _that_serves("chat"), **files})
    await later(app, timedelta(hours=1))
    assert opened(app, TEAMS[0]) == ["/v1/chat/completions", "/v1/models"]
    for abilities, paths in (("chat, embeddings", 3), ("chat", 3), ("chat, completions", 3)):
        await push(app, {DEFAULT_CATALOG_PATH: _that_serves(abilities)})
        await sweep(app)
        await later(app, timedelta(hours=1))
        assert [len(opened(app, team)) for team in TEAMS[:2]] == [paths, paths], abilities
    assert opened(app, TEAMS[1]) == ["/v1/chat/completions", "/v1/completions", "/v1/models"]
    app.calls.forget()
    await sweep(app, deep=True)
    assert of_cluster(app, "apply") == []


def _that_serves(abilities: str) -> str:
    return CATALOG.replace("preset: phi-4\n", f"preset: phi-4\n    serves: [{abilities}]\n")


def opened(app: FakeApp, team: str) -> list[str]:
    """The paths of a team's route, as the model server has them."""
    rules = route(app, team).manifest["spec"]["rules"]
    return [each["filters"][0]["urlRewrite"]["path"]["replaceFullPath"] for each in rules]
