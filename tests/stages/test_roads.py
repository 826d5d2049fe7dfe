"""A workspace is ready when a call was answered: each verdict on its road, to the words that people see."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import AccessDenied
from shared.gateway_api.observed import Condition, Parent
from shared.gateway_api.road import ANNOTATION, NotReached, RoadAnswer, Served, Unserved, Word, read_note
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text
from tests.fakes.calls import Call, Hook, nothing
from tests.fakes.cluster import FakeCluster
from tests.fakes.gateways import GATEWAY
from tests.fakes.roads import FakeRoads
from tests.stages.asking import condition, record
from tests.stages.road import a_platform, ask, later, push, shown, sweep

ROAD = "team-alpha/phi-4"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def cluster_of(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


def roads_of(app: FakeApp) -> FakeRoads:
    assert app.roads is not None
    return app.roads


def annotation(app: FakeApp, home: str = "team-alpha", name: str = "phi-4") -> str:
    return cluster_of(app).state.objects[home, "HTTPRoute", name].annotations.get(ANNOTATION, "")


def word(app: FakeApp) -> Word | None:
    note = read_note(annotation(app))
    return None if note is None else note.verdict.word


async def with_road(answer: RoadAnswer | None = None) -> FakeApp:
    """An app whose team waits for its phi-4, at the end of whose road this is answered; None: as usual."""
    app = await a_platform()
    if answer is not None:
        roads_of(app).answers[ROAD] = answer
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    return app


def letters(app: FakeApp) -> list[str]:
    return [str(letter.properties["reason"]) for letter in app.bus.dead_letters()]


async def test_a_road_that_answers_makes_a_workspace_ready() -> None:
    app = await with_road()
    await later(app, HOUR)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert word(app) == "Answers"


async def test_no_road_is_asked_before_the_pods_are_ready() -> None:
    app = await with_road()
    await later(app, 5 * MINUTE)
    assert app.calls.names("roads") == []
    assert annotation(app) == ""


async def test_another_name_ends_the_wait_with_its_cure() -> None:
    app = await with_road(Served(("phi-4-mini",)))
    await later(app, HOUR)
    assert shown(app)["workspaces"].startswith("failure: OtherName")
    assert "servedName" in shown(app)["workspaces"]
    assert letters(app) == ["OtherName"]
    assert word(app) == "OtherName"


async def test_a_road_that_fails_is_waited_for_and_told() -> None:
    app = await with_road(Unserved(404))
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: RoadFails")
    assert "404" in shown(app)["workspaces"]
    assert word(app) == "RoadFails"
    del roads_of(app).answers[ROAD]
    await later(app, 2 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert word(app) == "Answers"


async def test_a_road_that_fails_for_as_long_as_a_model_may_load_is_a_dead_letter() -> None:
    app = await with_road(Unserved(503))
    await later(app, 72 * MINUTE)
    assert letters(app) == []
    await later(app, 2 * MINUTE)
    assert letters(app) == ["RoadFails"]
    assert shown(app)["workspaces"].startswith("failure: RoadFails")


def conditions(accepted: str, reason: str, generation: int = 1) -> tuple[Parent, ...]:
    words = Condition("Accepted", accepted, reason, "said so", generation)
    resolved = Condition("ResolvedRefs", "True", "ResolvedRefs", "", generation)
    return (Parent(GATEWAY.name, "istio.io/gateway-controller", (words, resolved)),)


async def test_the_conditions_of_the_route_give_the_cause() -> None:
    app = await with_road(Unserved(404))
    cluster_of(app).said[ROAD] = conditions("False", "NotAllowedByListeners")
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: NotAllowedByListeners")
    await later(app, HOUR)
    assert letters(app) == ["NotAllowedByListeners"]


async def test_a_gateway_that_is_gone_is_named_although_the_old_word_stands() -> None:
    app = await with_road(Unserved(404))
    cluster_of(app).said[ROAD] = conditions("True", "Accepted")
    cluster_of(app).gateways.clear()
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: GatewayMissing")


async def test_the_gateway_is_read_for_a_road_that_fails_only() -> None:
    app = await with_road()
    await later(app, 5 * MINUTE)
    app.calls.forget()
    await later(app, HOUR)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert "gateway" not in app.calls.names("cluster")


async def test_where_a_road_cannot_be_asked_conditions_decide() -> None:
    app = await with_road(NotReached("no connection"))
    await later(app, HOUR)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4; road not proven"
    assert word(app) == "NotReachable"


async def test_where_a_road_cannot_be_asked_and_no_controller_answers_it_is_waited() -> None:
    app = await with_road(NotReached("no connection"))
    cluster_of(app).controller = None
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: GatewayControllerAway")
    cluster_of(app).controller = "istio"
    await later(app, 2 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4; road not proven"


async def test_a_route_with_whose_path_another_one_is_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    app = await with_road()
    (said,) = conditions("True", "Accepted")
    overlap = Condition("RouteRulesOverlap", "True", "Overlap", "another has it", 1)
    cluster_of(app).said[ROAD] = (replace(said, conditions=(*said.conditions, overlap)),)
    await later(app, HOUR)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert "phi-4 serves, but" in caplog.text


async def test_an_ignored_part_is_told_by_the_sweep_once_for_all(caplog: pytest.LogCaptureFixture) -> None:
    app = await with_road()
    for team in ("alpha", "bravo"):
        cluster_of(app).said[f"team-{team}/phi-4"] = conditions("True", "UnsupportedField")
    await ask(app, Asked(team="bravo", dedicated={"phi-4": GPU}))
    await later(app, HOUR)
    assert "UnsupportedField" not in caplog.text
    await sweep(app)
    told = [each for each in caplog.messages if "UnsupportedField" in each]
    assert len(told) == 1
    assert "2 routes" in told[0]


async def test_rights_of_earlier_versions_keep_no_verdict_and_fail_nothing() -> None:
    app = await with_road()
    app.calls.before = _denying("annotate_route")
    await later(app, HOUR)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert annotation(app) == ""


def _denying(name: str) -> Hook:
    async def before(call: Call) -> None:
        if call.name == name:
            raise AccessDenied("cannot patch httproutes")

    return before


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (None, "True", "Ready"),
        (Unserved(404), "False", "RoadFails"),
        (Served(("another",)), "False", "OtherName"),
        (NotReached("no connection"), "True", "Ready"),
    ],
)
async def test_who_asks_is_told_by_the_annotation_and_no_road_is_asked(
    answer: RoadAnswer | None, status: str, reason: str
) -> None:
    app = await with_road(answer)
    await later(app, 30 * MINUTE)
    app.calls.forget()
    found = condition(await record(app), "Workspaces")
    assert (found.status, found.reason) == (status, reason)
    assert found.message.endswith("road not proven") is isinstance(answer, NotReached)
    assert app.calls.names("roads") == []


async def test_a_verdict_is_written_when_it_changes_only() -> None:
    app = await with_road()
    await later(app, HOUR)
    app.calls.forget()
    await sweep(app, deep=True)
    await sweep(app, deep=True)
    assert app.calls.names("roads") == ["ask", "ask"]
    assert app.calls.writes("cluster") == []
    roads_of(app).answers[ROAD] = Unserved(404)
    await sweep(app, deep=True)
    await sweep(app, deep=True)
    assert app.calls.writes("cluster") == [f"annotate_route {ROAD}"]


async def test_a_sweep_asks_no_road_and_tells_what_the_last_look_saw(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await with_road()
    await later(app, HOUR)
    roads_of(app).answers[ROAD] = Unserved(503)
    await sweep(app, deep=True)
    assert f"workspace {ROAD}: " in caplog.text
    caplog.clear()
    app.calls.forget()
    await sweep(app)
    assert f"workspace {ROAD}: " in caplog.text
    assert app.calls.names("roads") == []


async def test_roads_that_cannot_be_asked_are_one_finding(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_platform()
    roads_of(app).reachable = False
    for team in ("alpha", "bravo", "charlie"):
        await ask(app, Asked(team=team, dedicated={"phi-4": GPU}))
    await later(app, HOUR)
    caplog.clear()
    await sweep(app)
    found = [each for each in caplog.messages if "cannot be asked from the workers" in each]
    assert len(found) == 1
    assert "3 roads" in found[0]
    assert app.bus.dead_letters() == []


async def test_no_road_fails_a_sweep(caplog: pytest.LogCaptureFixture) -> None:
    app = await with_road()
    await later(app, HOUR)
    roads_of(app).answers[ROAD] = Unserved(503)
    app.calls.before = _denying("annotate_route")
    await sweep(app, deep=True)
    app.calls.before = nothing
    assert app.bus.dead_letters() == []
    assert f"workspace {ROAD}: " in caplog.text


async def test_a_sweep_that_only_reports_asks_and_notes_nothing() -> None:
    app = await with_road()
    await later(app, HOUR)
    app.calls.forget()
    app.sweep_report_only = True
    roads_of(app).answers[ROAD] = Unserved(503)
    await sweep(app, deep=True)
    assert app.calls.names("roads") == app.calls.writes("cluster") == []


async def test_nothing_is_noted_in_a_namespace_that_lost_its_label() -> None:
    app = await with_road()
    await later(app, HOUR)
    assert app.cluster is not None
    del app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["labels"][
        "app.kubernetes.io/managed-by"
    ]
    app.calls.forget()
    roads_of(app).answers[ROAD] = Unserved(503)
    await sweep(app, deep=True)
    assert not [each for each in app.calls.writes("cluster") if "annotate_route" in each]


async def test_the_workspaces_for_all_are_asked_too() -> None:
    app = await a_platform()
    shared = catalog_text().replace(
        "    endpoint: http://phi-4.shared.internal/v1\n", f"    shared: {{instanceType: {GPU}}}\n"
    )
    await push(app, {DEFAULT_CATALOG_PATH: shared})
    await later(app, HOUR)
    note = read_note(annotation(app, "team-catalogue"))
    assert note is not None
    assert note.verdict.word == "Answers"
    assert shown(app, CATALOG_TEAM)["workspaces"] == "success: workspaces ready: phi-4"
