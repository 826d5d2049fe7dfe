"""Whose Gateway it is: the setting says so, or else the Gateway's class, or else what is written into routes.
By it network policies let in the proxies alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import AccessDenied, KindNotServed, Unavailable
from shared.gateway_api.controllers import HABITS, NAMESPACE_NAME, Controller, proxies
from shared.gateway_api.observed import Gateway
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Event
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.resources.workspaces import LIMITS, ROUTE_VERSION
from shared.stages.gateway_controller import platform_of
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, Asked, FakeApp, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.fakes.gateways import GATEWAY
from tests.stages import edits
from tests.stages.road import a_platform, a_team, ask, later, run, sweep

PHI = {"phi-4": GPU}


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


def _with(app: FakeApp, gateway: Gateway | None, writes: Controller | None = None) -> None:
    """The Gateway of the cluster, and the controller that writes into routes."""
    cluster = _cluster(app)
    cluster.gateways = {} if gateway is None else {gateway.name: gateway}
    cluster.controller = writes


def _set(app: FakeApp, controller: Controller) -> None:
    assert app.platform.cluster is not None
    app.platform = replace(app.platform, cluster=replace(app.platform.cluster, controller=controller))


def _peers(app: FakeApp) -> list[Any]:
    kept = _cluster(app).state.objects["team-alpha", "NetworkPolicy", LIMITS["NetworkPolicy"]]
    return [peer for rule in kept.manifest["spec"]["ingress"] for peer in rule["from"]]


async def _controller(app: FakeApp) -> Controller | None:
    found = (await platform_of(app)).cluster
    assert found is not None
    return found.controller


def _sweep(app: FakeApp) -> Event[Sweep]:
    return Event(Sweep(why="a test"), app.clock.now(), "sweep")


@pytest.mark.parametrize(
    ("class_name", "controller"),
    [(name, controller) for controller, habits in HABITS.items() for name in habits.classes],
)
async def test_the_class_of_the_gateway_tells_the_controller(class_name: str, controller: Controller) -> None:
    app = FakeApp()
    _with(app, replace(GATEWAY, class_name=class_name))
    assert await _controller(app) == controller


async def test_a_class_of_another_name_is_known_by_what_is_written_into_routes() -> None:
    app = await a_team(Asked(dedicated=PHI))
    _with(app, replace(GATEWAY, class_name="of-our-own"), writes="envoy-gateway")
    assert await _controller(app) == "envoy-gateway"
    _with(app, replace(GATEWAY, class_name="of-our-own"))
    assert await _controller(app) is None


async def test_the_setting_wins_and_reads_nothing() -> None:
    app = FakeApp()
    _set(app, "nginx")
    assert (await _controller(app), app.calls.names("cluster")) == ("nginx", [])


@pytest.mark.parametrize(
    "error",
    [
        AccessDenied("no right to read gateways"),
        KindNotServed("gpu", ROUTE_VERSION, "Gateway"),
        Unavailable("the cluster does not answer"),
    ],
)
async def test_a_gateway_that_cannot_be_read_tells_nothing(error: Exception) -> None:
    app = FakeApp()

    async def fail(call: Call) -> None:
        if call.name == "gateway_controller":
            raise error

    app.calls.before = fail
    assert await _controller(app) is None


async def test_a_gateway_that_is_not_there_tells_nothing() -> None:
    app = FakeApp()
    _with(app, None)
    assert await _controller(app) is None


async def test_a_stage_lets_in_the_proxies_of_the_class_and_asks_once() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(dedicated=PHI).text()})
    await run(app, PROVISION_GATEWAY)
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert _peers(app) == [{"podSelector": {}}, proxies("istio", GATEWAY.name)]
    assert app.calls.names("cluster").count("gateway_controller") == 1


async def test_a_team_without_gpus_asks_nothing_of_the_gateway() -> None:
    app = await a_platform()
    app.calls.forget()
    await ask(app, Asked())
    assert "gateway_controller" not in app.calls.names("cluster")


async def test_a_sweep_asks_once_and_finds_no_difference() -> None:
    app = await a_team(Asked(dedicated=PHI))
    app.calls.forget()
    await run_sweep(app, _sweep(app))
    assert app.calls.names("cluster").count("gateway_controller") == 1
    assert app.calls.writes() == []


async def test_a_gateway_that_is_gone_for_a_while_changes_no_policy() -> None:
    app = await a_team(Asked(dedicated=PHI))
    before = _peers(app)
    _with(app, None, writes="istio")
    app.calls.forget()
    await run_sweep(app, _sweep(app))
    assert (_peers(app), app.calls.writes()) == (before, [])


async def test_a_setting_that_contradicts_the_class_is_one_finding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(Asked(dedicated=PHI))
    _set(app, "nginx")
    await run_sweep(app, _sweep(app))
    assert sum("WORKSPACE_GATEWAY_CONTROLLER" in record.getMessage() for record in caplog.records) == 1


async def test_a_policy_that_a_hand_opened_is_closed_at_once_and_narrowed_later() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, timedelta(minutes=30))
    before = _peers(app)
    edits.open_the_network(app)
    await sweep(app)
    in_home = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "gateway-system"}}}
    assert _peers(app) == [{"podSelector": {}}, in_home, proxies("istio", GATEWAY.name)]
    await later(app, timedelta(minutes=15))
    await sweep(app, deep=True)
    await sweep(app)
    assert _peers(app) == before
