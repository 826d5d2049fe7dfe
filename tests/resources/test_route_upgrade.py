"""Which routes may be brought to today's form, by what stands on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.gateway_api.controllers import Controller
from shared.gateway_api.road import ANNOTATION as ROAD
from shared.gateway_api.road import RoadNote, RoadVerdict, Word
from shared.marker import Marker
from shared.requests.request import ModelAccess
from shared.resources.actual import Limit, Route
from shared.resources.network_policy import Step, policy_forms
from shared.resources.route_upgrade import (
    ANNOTATION,
    MOST_AT_ONCE,
    UpgradeNote,
    due,
    fails,
    policy_step,
    upgrade_note,
    upgrade_of,
)
from shared.resources.routes import earlier_route_manifest, route_manifest
from shared.resources.workspaces import Cluster

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
CLUSTER = Cluster("gateway-system/internal", "https://models.internal.contoso.com")
MODEL = ModelAccess("phi-4", "kaito", None, None, "Standard_NC24ads_A100_v4")
TRIED, KEPT = UpgradeNote("tried", "prefix", NOW), UpgradeNote("kept", "prefix", NOW, "status 404")


def a_route(
    team: str, form: str, word: Word | None = None, note: UpgradeNote | str = "", generation: int = 1
) -> Route:
    """A route of generation 1, with what its road was seen to do in a generation."""
    marker = Marker(1, team, "", "")
    manifest = earlier_route_manifest(marker, MODEL, CLUSTER)
    if form == "exact":
        manifest = route_manifest(marker, MODEL, CLUSTER, {"chat"})
    said = {} if word is None else {ROAD: RoadNote(RoadVerdict(word), generation, NOW).text}
    mark = note.text if isinstance(note, UpgradeNote) else note
    return Route("phi-4", True, manifest["spec"], 1, annotations=said | ({ANNOTATION: mark} if mark else {}))


def unnamed(team: str, note: UpgradeNote | str = "") -> tuple[str, Route]:
    """A route of today's form that answers and names no host."""
    route = a_route(team, "exact", "Answers", note)
    return team, replace(route, spec={key: part for key, part in route.spec.items() if key != "hostnames"})


def world(*found: tuple[str, Route]) -> Mapping[str, list[Route]]:
    return {f"team-{team}": [route] for team, route in found}


def earlier(*teams: str) -> list[tuple[str, Route]]:
    return [(team, a_route(team, "prefix", "Answers")) for team in teams]


def teams_due(routes: Mapping[str, list[Route]]) -> list[str]:
    return sorted(home.removeprefix("team-") for home, _ in due(routes))


MANY = tuple(f"t{number:02}" for number in range(25))
PROVEN = ("zulu", a_route("zulu", "exact", "Answers"))


def test_one_goes_while_none_was_seen_to_answer_in_todays_form() -> None:
    assert teams_due(world(*earlier(*MANY))) == ["t00"]


def test_ten_go_when_one_was_seen_to_answer() -> None:
    assert teams_due(world(PROVEN, *earlier(*MANY))) == list(MANY[:MOST_AT_ONCE])


def test_those_that_are_on_their_way_take_the_place_of_others() -> None:
    tried = [(team, a_route(team, "exact", "Answers", TRIED, generation=0)) for team in MANY[:4]]
    assert teams_due(world(PROVEN, *tried, *earlier(*MANY[4:]))) == list(MANY[4:MOST_AT_ONCE])
    assert teams_due(world(*tried[:1], *earlier(*MANY[4:]))) == []


def test_none_goes_while_one_was_taken_back() -> None:
    kept = ("alpha", a_route("alpha", "prefix", "Answers", KEPT))
    assert teams_due(world(PROVEN, kept, *earlier(*MANY))) == []
    assert upgrade_of(world(kept)).kept == {("team-alpha", "phi-4"): KEPT}


@pytest.mark.parametrize("word", [None, "OtherName", "RoadFails", "NotReachable"])
def test_only_a_road_that_answers_may_be_tried(word: Word | None) -> None:
    assert teams_due(world(PROVEN, ("alpha", a_route("alpha", "prefix", word)))) == []


def test_an_answer_in_another_generation_does_not_count() -> None:
    assert teams_due(world(PROVEN, ("alpha", a_route("alpha", "prefix", "Answers", generation=0)))) == []
    old = ("zulu", a_route("zulu", "exact", "Answers", generation=0))
    assert teams_due(world(old, *earlier("alpha", "bravo"))) == ["alpha"]


def test_where_roads_cannot_be_asked_none_begins() -> None:
    lost = ("charlie", a_route("charlie", "prefix", "NotReachable"))
    assert teams_due(world(lost, *earlier("alpha"))) == []
    assert teams_due(world(PROVEN, lost, *earlier("alpha"))) == ["alpha"]
    assert upgrade_of(world(lost)).unasked == {("team-charlie", "phi-4")}


def test_routes_of_others_and_edited_ones_do_not_count() -> None:
    edited = a_route("bravo", "exact", "Answers")
    theirs = Route("phi-4", False, a_route("alpha", "prefix").spec, 1)
    found = upgrade_of(
        {"team-alpha": [theirs], "team-bravo": [Route("phi-4", True, {**edited.spec, "rules": []}, 1)]}
    )
    assert (found.earlier, found.due) == (0, frozenset())


@pytest.mark.parametrize(
    "note", [TRIED, KEPT, UpgradeNote("kept", "policy", NOW), UpgradeNote("tried", "policy", NOW)]
)
def test_a_note_is_read_as_it_was_written(note: UpgradeNote) -> None:
    assert upgrade_note(a_route("alpha", "exact", note=note)) == note


@pytest.mark.parametrize(
    "text", ["", "kept", "kept prefix", "kept prefix now", "held prefix 2026-11-30T12:00:00Z", "kept x y z"]
)
def test_a_text_of_others_is_no_note(text: str) -> None:
    assert upgrade_note(a_route("alpha", "exact", note=text)) is None


@pytest.mark.parametrize(
    ("word", "bad"), [("Answers", False), ("OtherName", True), ("RoadFails", True), ("NotReachable", False)]
)
def test_what_is_known_to_fail(word: Word, bad: bool) -> None:
    assert fails(a_route("alpha", "exact", word)) is bad


@pytest.mark.parametrize(
    ("standing", "route", "step"),
    [
        ("earlier", a_route("alpha", "prefix"), "stays"),
        ("earlier", a_route("alpha", "prefix", "Answers"), "wide"),
        ("earlier", a_route("alpha", "prefix", "RoadFails"), "wide"),
        ("earlier", a_route("alpha", "exact", "Answers"), "wide"),
        ("wide", a_route("alpha", "prefix", "Answers"), "stays"),
        ("wide", a_route("alpha", "exact", "Answers"), "narrow"),
        ("wide", a_route("alpha", "exact", "NotReachable"), "stays"),
        ("wide", a_route("alpha", "exact", "Answers", UpgradeNote("tried", "policy", NOW)), "stays"),
        ("wide", a_route("alpha", "exact", "Answers", UpgradeNote("kept", "policy", NOW)), "stays"),
        ("narrow", a_route("alpha", "exact", "Answers"), "stays"),
    ],
)
def test_a_policy_is_widened_before_it_is_narrowed(standing: str, route: Route, step: Step) -> None:
    assert _step(standing, route, "envoy-gateway") == step


@pytest.mark.parametrize("standing", ["earlier", "wide", "narrow"])
def test_the_policy_of_an_unknown_controller_stays(standing: str) -> None:
    assert _step(standing, a_route("alpha", "exact", "Answers"), None) == "stays"


def _step(standing: str, route: Route, controller: Controller | None) -> Step:
    forms = policy_forms(
        Marker(1, "alpha", "", ""), Cluster(CLUSTER.gateway, CLUSTER.url, controller=controller)
    )
    spec = {"earlier": forms.earlier, "wide": forms.wide, "narrow": forms.narrow}[standing]["spec"]
    limits = [Limit("NetworkPolicy", "only-through-the-gateway", True, spec)]
    return policy_step(forms, limits, "team-alpha", [route], upgrade_of({"team-alpha": [route]}))


HOST = "models.internal.contoso.com"


def test_routes_come_to_name_the_host_one_first_and_then_ten() -> None:
    assert due(world(*map(unnamed, MANY))) == frozenset(), "it may not be named beside others"
    assert due(world(*map(unnamed, MANY)), HOST) == {("team-t00", "phi-4")}
    assert len(due(world(PROVEN, *map(unnamed, MANY)), HOST)) == MOST_AT_ONCE


def test_routes_that_name_no_host_are_earlier_ones_only_where_it_may_be_named() -> None:
    found = world(PROVEN, unnamed("alpha"), *earlier("bravo"))
    assert [upgrade_of(found, host).earlier for host in (None, HOST)] == [1, 2]


def test_none_comes_to_name_the_host_after_one_was_taken_back() -> None:
    kept = UpgradeNote("kept", "host", NOW, "status 404")
    found = upgrade_of(world(PROVEN, unnamed("alpha", kept), unnamed("bravo")), HOST)
    assert (found.due, found.kept) == (frozenset(), {("team-alpha", "phi-4"): kept})
