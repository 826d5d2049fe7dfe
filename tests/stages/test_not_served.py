"""A cluster that does not know KAITO or Gateway API (any more): what it has is unknown. Nothing of it counts
as gone, everything else goes on, and who must act is told at once.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from shared.api.health_checks import check_everything
from shared.api.teams import providers
from shared.messaging.messages import Sweep
from shared.names import CATALOG_TEAM
from shared.stages.comparison import unsettled_teams
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, an_event, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.stages.asking import condition, reasons, record
from tests.stages.road import a_platform, a_team, ask, drain, later, push, shown, sweep, withdraw, world
from tests.stages.test_platform_side import SHARED, offer

PHI, MISTRAL = {"phi-4": GPU}, {"mistral-7b": GPU}
KINDS = ("Workspace", "HTTPRoute")
MINUTE = timedelta(minutes=1)


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _serving() -> FakeApp:
    """A team whose model serves."""
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    app.calls.forget()
    return app


async def _swept(app: FakeApp, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a sweep logs; then everything that is due happens."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await run_sweep(app, an_event(app, Sweep(why="a test", deep=True), f"s{app.clock.now()}"))
    lines = [each.getMessage() for each in caplog.records]
    await drain(app)
    return [line for line in lines if line.startswith("Sweep:")]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sweep_calls_nothing_gone_that_it_cannot_see(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = await _serving()
    _cluster(app).not_served.add(kind)
    before = world(app)
    [told] = await _swept(app, caplog)
    assert "KindNotServed" in told
    assert f"{kind} (" in told
    assert (app.calls.writes(), world(app)) == ([], before)


async def test_the_node_of_a_workspace_that_is_being_made_is_not_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await _serving()
    made = _cluster(app).state.objects.pop(("team-alpha", "Workspace", "phi-4"))

    async def make(call: Call) -> None:
        if call.name == "gpu_nodes":
            _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"] = made

    app.calls.before = make
    assert not [line for line in await _swept(app, caplog) if "delete its node pool" in line]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_kind_keeps_no_product_key_or_project_from_being_mended(kind: str) -> None:
    app = await _serving()
    await ask(app, Asked(team="bravo"))
    whole = world(app)
    _cluster(app).not_served.add(kind)
    for team in ("alpha", "bravo"):
        del app.gateway.state.policies[f"team-{team}"]
        app.gateway.state.links.clear()
        newest = app.vault.kept[f"{team}-primary-key"].versions[0]
        await app.vault.update(newest, False, newest.tags)
    await sweep(app, deep=True)
    assert world(app) == whole


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_that_costs_money_starts_while_a_kind_is_missing(kind: str) -> None:
    app = await a_platform()
    _cluster(app).not_served.add(kind)
    await ask(app, Asked(dedicated=PHI))
    assert app.calls.writes("cluster") == []
    assert shown(app)["workspaces"].startswith(f"pending: waiting: KindNotServed: {kind} (")
    assert "the platform must" in shown(app)["workspaces"]
    assert shown(app)["keys"].startswith("success")
    _cluster(app).not_served.clear()
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert app.bus.dead_letters() == []


async def test_a_kind_that_goes_while_a_workspace_is_made_is_told_at_once() -> None:
    app = await a_platform()

    async def uninstall(call: object) -> None:
        if str(call).startswith("create Workspace"):
            _cluster(app).not_served.add("HTTPRoute")

    app.calls.before = uninstall
    await ask(app, Asked(dedicated=PHI))
    assert shown(app)["workspaces"].startswith("pending: waiting: KindNotServed: HTTPRoute (")


async def test_what_is_not_installed_for_a_day_is_a_dead_letter_that_names_it() -> None:
    app = await a_platform()
    _cluster(app).not_served.add("HTTPRoute")
    await ask(app, Asked(dedicated=PHI))
    await later(app, app.timeouts.retry + timedelta(hours=1))
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["actor"]) == ("RetriesExhausted", "the platform")
    assert "KindNotServed: HTTPRoute (gateway.networking.k8s.io/v1)" in str(letter.properties["message"])
    assert shown(app)["workspaces"].startswith("failure: RetriesExhausted")


async def test_a_status_that_waits_for_a_kind_gets_its_end() -> None:
    app = await a_platform()
    _cluster(app).not_served.add("Workspace")
    await ask(app, Asked(dedicated=PHI))
    commit = app.repository.branch
    await ask(app, Asked())
    _cluster(app).not_served.clear()
    await later(app, 30 * MINUTE)
    ends = [each for each in app.reports.shown if each.context == "mergekey/alpha/workspaces"]
    assert [each.state for each in ends if each.commit == commit][-1] == "success"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_says_that_the_workspaces_are_unknown_and_why(kind: str) -> None:
    app = await _serving()
    await ask(app, Asked(team="bravo"))
    _cluster(app).not_served.add(kind)
    found = await record(app)
    assert reasons(found)["Workspaces"] == "Unknown KindNotServed"
    assert f"{kind} (" in condition(found, "Workspaces").message
    assert reasons(found)["Gateway"] == "True AsRequested"
    assert reasons(await record(app, "bravo"))["Workspaces"] == "True NothingAsked"


@pytest.mark.parametrize("kind", KINDS)
async def test_deep_health_and_the_providers_name_the_kind(kind: str) -> None:
    app = await _serving()
    _cluster(app).not_served.add(kind)
    health = await check_everything(app)
    [probe] = [each for each in health.probes if not each.healthy]
    assert (probe.system, probe.reason) == ("Kubernetes", "KindNotServed")
    assert f"{kind} (" in str(probe.message)
    assert [each for each in (await providers(app)).differences if f"{kind} (" in each]


async def test_a_team_of_which_nothing_is_known_is_not_settled() -> None:
    app = await _serving()
    assert await unsettled_teams(app, app.clock.now()) == frozenset()
    _cluster(app).not_served.add("Workspace")
    assert await unsettled_teams(app, app.clock.now()) == frozenset({"alpha"})


async def test_a_withdrawal_goes_on_without_routes() -> None:
    app = await _serving()
    _cluster(app).not_served.add("HTTPRoute")
    await withdraw(app)
    assert shown(app)["workspaces"] == "pending: waiting: WithdrawalDelay"
    await later(app, app.timeouts.workspace_grace + 30 * MINUTE)
    assert _cluster(app).state.namespaces == {}
    assert shown(app)["workspaces"] == "success: workspaces deleted"


async def test_only_workspaces_that_are_seen_to_be_gone_let_a_namespace_go() -> None:
    app = await _serving()
    await withdraw(app)
    _cluster(app).not_served.add("Workspace")
    await later(app, app.timeouts.workspace_grace + 30 * MINUTE)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    assert "team-alpha" in _cluster(app).state.namespaces
    assert shown(app)["workspaces"].startswith("pending: waiting: KindNotServed: Workspace (")
    assert not app.vault.kept["alpha-primary-key"].versions[0].enabled
    _cluster(app).not_served.clear()
    await later(app, 30 * MINUTE)
    assert _cluster(app).state.namespaces == {}


async def test_a_kind_that_goes_after_the_deletion_began_does_not_end_it() -> None:
    app = await _serving()
    await withdraw(app)
    await later(app, app.timeouts.workspace_grace + timedelta(seconds=5))
    assert "delete_workspace team-alpha/phi-4" in app.calls.writes("cluster")
    _cluster(app).not_served.add("Workspace")
    await later(app, 30 * MINUTE)
    assert "delete_namespace team-alpha" not in app.calls.writes("cluster")
    _cluster(app).not_served.clear()
    await later(app, 30 * MINUTE)
    assert _cluster(app).state.namespaces == {}


async def test_a_model_that_nobody_asks_for_goes_without_routes_and_none_is_replaced() -> None:
    app = await a_team(Asked(dedicated=PHI | MISTRAL))
    await later(app, 15 * MINUTE)
    _cluster(app).not_served.add("HTTPRoute")
    app.calls.forget()
    await ask(app, Asked(dedicated={"phi-4": LARGER_GPU}))
    lowered = "apply ResourceQuota team-alpha/workspaces"
    assert app.calls.writes("cluster") == [lowered, "delete_workspace team-alpha/mistral-7b"]
    assert shown(app)["workspaces"].startswith("pending: waiting: KindNotServed")
    _cluster(app).not_served.clear()
    await later(app, 60 * MINUTE)
    manifest = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].manifest
    assert manifest["resource"]["instanceType"] == LARGER_GPU
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


@pytest.mark.parametrize("kind", KINDS)
async def test_limits_that_were_opened_are_closed_while_a_kind_is_missing(kind: str) -> None:
    app = await _serving()
    policy = _cluster(app).state.objects["team-alpha", "NetworkPolicy", "only-through-the-gateway"]
    policy.manifest["spec"]["ingress"] = [{}]
    _cluster(app).not_served.add(kind)
    await sweep(app, deep=True)
    assert policy.manifest["spec"]["ingress"] != [{}]
    assert app.calls.writes("cluster") == ["apply NetworkPolicy team-alpha/only-through-the-gateway"]


async def test_teams_without_a_gpu_are_judged_and_granted_while_kaito_is_missing() -> None:
    app = await _serving()
    _cluster(app).not_served |= {*KINDS}
    await push(app, {path_of(team): Asked(team=team).text() for team in ("bravo", "carol")})
    for team in ("bravo", "carol"):
        assert shown(app, team)["keys"].startswith("success")
        assert "workspaces" not in shown(app, team)


async def test_another_server_at_the_address_makes_everything_of_the_cluster_unknown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await _serving()
    _cluster(app).not_served |= {"Namespace", "Node", *KINDS}
    assert all("KindNotServed" in line for line in await _swept(app, caplog))
    assert app.calls.writes() == []
    assert reasons(await record(app))["Workspaces"] == "Unknown KindNotServed"


async def test_a_message_of_a_sweep_leaves_a_missing_kind_to_the_next_one() -> None:
    app = await _serving()
    del _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"]
    await run_sweep(app, an_event(app, Sweep(why="a test"), "s"))
    _cluster(app).not_served.add("HTTPRoute")
    await later(app, 30 * MINUTE)
    assert app.bus.dead_letters() == []
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_a_wait_that_a_sweep_began_gets_its_end_when_the_kind_is_there_again() -> None:
    app = await _serving()
    del _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"]
    await sweep(app)
    assert shown(app)["workspaces"].startswith("pending: waiting: NodeClaimNotReady")
    _cluster(app).not_served.add("Workspace")
    await later(app, 40 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: KindNotServed: Workspace (")
    _cluster(app).not_served.clear()
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"].startswith("success")


async def test_the_platforms_own_workspaces_wait_for_a_missing_kind_too() -> None:
    app = await a_platform()
    _cluster(app).not_served.add("HTTPRoute")
    await offer(app, catalog_text() + SHARED)
    assert app.calls.writes("cluster") == []
    assert shown(app, CATALOG_TEAM)["workspaces"].startswith("pending: waiting: KindNotServed: HTTPRoute (")
    assert shown(app, CATALOG_TEAM)["catalog"].startswith("success")
    _cluster(app).not_served.clear()
    await later(app, 60 * MINUTE)
    assert _cluster(app).names("team-catalogue", "HTTPRoute") == ["llama"]
