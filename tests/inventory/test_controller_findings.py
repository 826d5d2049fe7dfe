"""What the cluster's Gateway does to all routes is told once, by the controller that does it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.gateway_api.controllers import HABITS, Controller
from shared.gateway_api.observed import Condition, Parent
from shared.gateway_api.road import ANNOTATION, RoadNote, RoadVerdict, Word
from shared.inventory.controller_findings import controller_findings
from shared.inventory.snapshot import Snapshot
from shared.marker import Marker
from shared.requests.request import ModelAccess
from shared.resources.actual import Route
from shared.resources.desired import Platform
from shared.resources.routes import earlier_route_manifest, route_manifest, without_host
from shared.resources.workspaces import Cluster

GATEWAY = "gateway-system/internal"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PLATFORM = Platform(7, "https://gw", Cluster(GATEWAY, "https://models.example"))
SNAPSHOT = Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())


def parent(by: str, reason: str = "UnsupportedField", generation: int = 1) -> Parent:
    words = [Condition(kind, "True", reason, "", generation) for kind in ("Accepted", "ResolvedRefs")]
    return Parent(GATEWAY, by, tuple(words))


def told(*parents: Parent, url: str = "https://models.example", managed: bool = True) -> list[str]:
    """What is told of routes, each with one of these entries."""
    routes = {
        f"team-{number}": (Route("phi-4", managed, generation=1, parents=(each,)),)
        for number, each in enumerate(parents)
    }
    platform = replace(PLATFORM, cluster=Cluster(GATEWAY, url))
    return list(controller_findings(replace(SNAPSHOT, routes=routes), platform))


def test_a_controller_that_ignores_a_part_of_all_routes_is_told_once() -> None:
    (text,) = told(*[parent(HABITS["nginx"].name)] * 3)
    assert all(each in text for each in ("NGINX", "3 routes", "60 seconds", "1 MiB"))


def test_each_controller_is_told_by_itself_and_an_unknown_one_by_its_name() -> None:
    other, nginx = told(parent(HABITS["nginx"].name), parent("example.com/own"))
    assert "NGINX" in nginx
    assert "example.com/own" in other
    assert "seconds" not in other


@pytest.mark.parametrize("controller", ["istio", "envoy-gateway", "nginx"])
def test_routes_that_are_taken_whole_are_not_told(controller: Controller) -> None:
    assert told(parent(HABITS[controller].name, "Accepted")) == []


def test_what_was_said_of_an_earlier_form_of_the_route_is_not_told() -> None:
    assert told(parent(HABITS["nginx"].name, generation=0)) == []


@pytest.mark.parametrize("url", ["https://10.224.0.9", "http://[fd00::9]:8080"])
def test_an_address_that_no_route_can_name_is_told_once(url: str) -> None:
    (text,) = told(*[parent(HABITS["istio"].name, "Accepted")] * 2, url=url)
    assert "WORKSPACE_INGRESS_URL" in text
    assert "2 routes" in text


def test_without_routes_of_ours_nothing_is_told() -> None:
    assert told(url="https://10.224.0.9") == []
    assert told(parent(HABITS["nginx"].name), url="https://10.224.0.9", managed=False) == []


HOST = "models.example"
MODEL = ModelAccess("phi-4", "kaito", None, None, "Standard_NC24ads_A100_v4")


def standing(form: str, word: Word | None = "Answers") -> Route:
    """The route of one team in a form, with what its road was seen to do."""
    marker, cluster = Marker(7, "alpha", "", ""), Cluster(GATEWAY, f"https://{HOST}")
    manifest = earlier_route_manifest(marker, MODEL, cluster)
    if form != "prefix":
        manifest = route_manifest(marker, MODEL, cluster, {"chat"})
    spec = without_host(manifest)["spec"] if form == "no host" else manifest["spec"]
    note = {} if word is None else {ANNOTATION: RoadNote(RoadVerdict(word), 1, NOW).text}
    return Route("phi-4", managed=True, spec=spec, generation=1, annotations=note)


@pytest.mark.parametrize(
    ("form", "word", "host", "is_told"),
    [
        ("no host", "Answers", None, True),
        ("no host", "Answers", HOST, False),
        ("no host", "RoadFails", None, False),
        ("no host", None, None, False),
        ("exact", "Answers", None, False),
        ("prefix", "Answers", None, False),
    ],
)
def test_the_step_at_the_listeners_is_told_when_it_is_time(
    form: str, word: Word | None, host: str | None, is_told: bool
) -> None:
    snapshot = replace(SNAPSHOT, routes={"team-alpha": (standing(form, word),)})
    found = list(controller_findings(snapshot, PLATFORM, host))
    assert [HOST in text and GATEWAY in text for text in found] == [True] * is_told
