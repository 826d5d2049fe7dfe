"""Ways around API Management: new workspaces wait where anybody could call them, what stands goes on, and
whoever can close a way is told.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.api.health_checks import check_everything
from shared.api.teams import providers
from shared.errors import AccessDenied, Unavailable
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Done, Event, Waiting
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.workspaces import Cluster
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.fakes.gateways import GATEWAY
from tests.stages.road import a_platform, a_team, ask, later, push, run, shown

MINUTE = timedelta(minutes=1)
PHI = {"phi-4": GPU}
[LISTENER] = GATEWAY.listeners
OPEN_TO_ALL = replace(GATEWAY, listeners=(replace(LISTENER, allowed="All", selector={}),))
PUBLIC = replace(GATEWAY, addresses=("20.50.2.1",))
WITH_TLS = replace(PUBLIC, listeners=(replace(LISTENER, protocol="HTTPS", port=443),))


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


def _gateway(app: FakeApp, gateway: object) -> None:
    _cluster(app).gateways = {GATEWAY.name: gateway}  # type: ignore[dict-item]


def _with_certificate(app: FakeApp) -> None:
    facts = app.platform.cluster
    assert isinstance(facts, Cluster)
    app.platform = replace(app.platform, cluster=replace(facts, certificate="gpu-gateway"))
    app.gateway.state.certificates.add("gpu-gateway")


async def _asked(gateway: object) -> FakeApp:
    """A request for a GPU with its product, and this Gateway."""
    app = await a_platform()
    _gateway(app, gateway)
    app.repository.commit({path_of("alpha"): Asked(dedicated=PHI).text()})
    await run(app, PROVISION_GATEWAY)
    app.calls.forget()
    return app


async def test_no_workspace_starts_while_anybody_could_call_it() -> None:
    app = await _asked(PUBLIC)
    outcome = await run(app, PROVISION_WORKSPACES)
    assert isinstance(outcome, Waiting)
    assert (outcome.reason, "20.50.2.1" in outcome.note) == ("GatewayIsPublic", True)
    assert app.calls.writes("cluster") == []
    _gateway(app, GATEWAY)
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_the_status_says_what_a_new_workspace_waits_for() -> None:
    app = await a_team()
    _gateway(app, PUBLIC)
    await ask(app, Asked(dedicated=PHI))
    assert shown(app)["workspaces"].startswith("pending: waiting: GatewayIsPublic")
    _gateway(app, GATEWAY)
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


@pytest.mark.parametrize("gateway", [OPEN_TO_ALL, GATEWAY], ids=["routes of others", "ours alone"])
async def test_only_a_public_gateway_keeps_a_workspace_from_starting(gateway: object) -> None:
    app = await _asked(gateway)
    _cluster(app).engine = "none"
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_a_certificate_opens_a_public_gateway_to_new_workspaces() -> None:
    app = await _asked(WITH_TLS)
    _with_certificate(app)
    await run(app, PROVISION_GATEWAY)
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_a_right_that_is_missing_keeps_no_workspace_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await _asked(PUBLIC)
    _cluster(app).denied.add("Gateway")
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    assert [each for each in caplog.messages if each.startswith("Workspaces: alpha: AccessDenied")] != []


async def test_a_gateway_that_cannot_be_read_now_is_asked_again() -> None:
    app = await _asked(PUBLIC)

    async def fail(call: Call) -> None:
        if call.name == "gateway":
            raise Unavailable("the cluster does not answer")

    app.calls.before = fail
    with pytest.raises(Unavailable):
        await run(app, PROVISION_WORKSPACES)
    assert app.calls.writes("cluster") == []


async def test_what_stands_goes_on_behind_a_gateway_that_became_public() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _gateway(app, PUBLIC)
    app.calls.forget()
    assert isinstance(await run(app, PROVISION_WORKSPACES), Done)
    assert app.calls.writes("cluster") == []
    assert "gateway" not in app.calls.names("cluster")
    await ask(app, Asked(dedicated={"phi-4": LARGER_GPU}))
    assert shown(app)["workspaces"].startswith("pending: waiting: GatewayIsPublic")
    assert _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].deleted is None


async def _sweep(app: FakeApp) -> list[tuple[str, str, str]]:
    """Path, reason and level of what the check run says."""
    await run_sweep(app, Event(Sweep(why="test", verdict=True), app.clock.now(), "d"))
    return [(each.path, each.reason, each.level) for each in app.reports.verdicts[-1].problems]


@pytest.mark.parametrize(
    ("standing", "level"), [(False, "warning"), (True, "failure")], ids=["nothing stands", "a model stands"]
)
async def test_a_sweep_tells_every_open_way_at_the_catalogue(
    caplog: pytest.LogCaptureFixture, standing: bool, level: str
) -> None:
    app = await a_team(Asked(dedicated=PHI if standing else {}))
    _gateway(app, replace(PUBLIC, listeners=OPEN_TO_ALL.listeners))
    _cluster(app).engine = "none"
    assert await _sweep(app) == [
        (DEFAULT_CATALOG_PATH, "GatewayIsPublic", level),
        (DEFAULT_CATALOG_PATH, "GatewayTakesOtherRoutes", "warning"),
        (DEFAULT_CATALOG_PATH, "NetworkPoliciesIgnored", "warning"),
    ]
    assert len([each for each in caplog.messages if "See docs/gpus.md" in each]) == 3


async def test_a_sweep_without_workspaces_asks_for_no_gateway() -> None:
    app = await a_platform()
    elsewhere = "models: [{name: m, provider: foundry, endpoint: 'https://a.openai.azure.com/openai/v1'}]\n"
    app.repository.commit({DEFAULT_CATALOG_PATH: elsewhere})
    _gateway(app, PUBLIC)
    app.calls.forget()
    assert await _sweep(app) == []
    assert not {"gateway", "network_policy_engine"} & set(app.calls.names("cluster"))


@pytest.mark.parametrize("error", [Unavailable("no answer"), AccessDenied("not yet")])
async def test_a_sweep_that_cannot_look_compares_everything_else(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level("INFO")
    app = await a_team()
    _gateway(app, PUBLIC)
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})

    async def fail(call: Call) -> None:
        if call.name == "network_policy_engine":
            raise error

    app.calls.before = fail
    assert await _sweep(app) == []
    assert app.bus.sent != [], "the new team was found"
    assert [each for each in caplog.messages if "ways around API Management are not looked at" in each] != []


async def test_the_review_of_a_request_for_a_gpu_tells_open_ways() -> None:
    app = await a_team()
    _gateway(app, OPEN_TO_ALL)
    await push(app, {path_of("alpha"): Asked(dedicated=PHI).text(), path_of("bravo"): _asking("bravo")})
    told = [(each.path, each.reason, each.level) for each in app.reports.verdicts[-1].problems]
    assert told == [(path_of("alpha"), "GatewayTakesOtherRoutes", "warning")]


async def test_a_request_without_a_gpu_asks_for_no_gateway() -> None:
    app = await a_team()
    app.calls.forget()
    await push(app, {path_of("bravo"): _asking("bravo")})
    assert not {"gateway", "network_policy_engine"} & set(app.calls.names("cluster"))


async def test_a_cluster_that_does_not_answer_keeps_no_push_from_being_taken_in() -> None:
    app = await a_team()

    async def fail(call: Call) -> None:
        if call.name == "gateway":
            raise Unavailable("the cluster does not answer")

    app.calls.before = fail
    await push(app, {path_of("alpha"): Asked(dedicated=PHI).text()})
    assert app.reports.verdicts[-1].reasons == []


async def test_deep_health_names_an_open_way() -> None:
    app = await a_team()
    _gateway(app, OPEN_TO_ALL)
    _cluster(app).engine = "none"
    [unwell] = [probe for probe in (await check_everything(app)).probes if not probe.healthy]
    assert (unwell.system, unwell.reason) == ("ways around API Management", "GatewayTakesOtherRoutes")
    assert "networkPolicy: none" in (unwell.message or "")


async def test_open_ways_are_differences_of_the_platforms_side() -> None:
    app = await a_team()
    assert (await providers(app)).differences == ()
    _gateway(app, PUBLIC)
    [told] = (await providers(app)).differences
    assert "20.50.2.1" in told


async def test_a_platform_without_a_cluster_looks_for_no_way() -> None:
    app = await a_platform(gpus=False)
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text()})
    assert (await check_everything(app)).healthy
    assert (await providers(app)).differences == ()


def _asking(team: str) -> str:
    return Asked(team=team).text()
