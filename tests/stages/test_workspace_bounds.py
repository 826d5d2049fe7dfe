"""Workspaces for which KAITO takes more nodes than the catalogue allows, and access secrets that are made by
another operator.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Busy, Unavailable
from shared.messaging.outcomes import Done, Waiting
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import ExternalSecret
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.stages.road import a_platform, a_team, ask, later, push, run, shown, sweep

PHI = {"phi-4": GPU}
MINUTE = timedelta(minutes=1)
BOUNDED = catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    maxNodes: 2\n")
WIDER = BOUNDED.replace("maxNodes: 2", "maxNodes: 3")
GATED = catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    accessSecret: hf\n")
HOME = "team-alpha"
DELETED = "delete_workspace team-alpha/phi-4"


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _above() -> FakeApp:
    """A new workspace takes three nodes, where two are allowed."""
    app = await a_platform()
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    await ask(app, Asked(dedicated=PHI))
    return app


def _created(app: FakeApp) -> int:
    return app.calls.writes("cluster").count("create Workspace team-alpha/phi-4")


async def test_a_new_workspace_above_the_bound_goes_before_its_nodes_have_cost_much() -> None:
    app = await _above()
    await later(app, 2 * MINUTE)
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes: KAITO takes 3 nodes for phi-4")
    [letter] = app.bus.dead_letters()
    assert letter.properties["reason"] == "TooManyNodes"
    assert (_created(app), app.calls.writes("cluster").count(DELETED)) == (1, 1)
    assert _cluster(app).names(HOME, "Workspace") == _cluster(app).names(HOME, "HTTPRoute") == []


async def test_it_is_not_made_again_for_what_was_tried_whatever_asks() -> None:
    app = await _above()
    await later(app, timedelta(days=3))
    for _ in range(3):
        await sweep(app, deep=True)
        await later(app, timedelta(hours=9))
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED + "# a comment\n"})
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    await later(app, timedelta(hours=3))
    assert (_created(app), _cluster(app).names(HOME, "Workspace")) == (1, [])
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")


@pytest.mark.parametrize("what", ["bound", "release"])
async def test_it_is_made_again_when_the_bound_or_the_release_is_another(what: str) -> None:
    app = await _above()
    await later(app, 5 * MINUTE)
    _cluster(app).counted_nodes["phi-4"] = 3 if what == "bound" else 1
    if what == "release":
        _cluster(app).kaito = "0.11"
    else:
        await push(app, {DEFAULT_CATALOG_PATH: WIDER})
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    await later(app, 15 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_a_serving_workspace_above_the_bound_stays_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    caplog.clear()
    assert isinstance(await run(app, PROVISION_WORKSPACES), Done)
    assert [line for line in caplog.messages if "3 nodes" in line and "allows 2" in line]
    caplog.clear()
    await sweep(app)
    assert [line for line in caplog.messages if "3 nodes" in line and "allows 2" in line]
    assert DELETED not in app.calls.writes("cluster")


async def test_one_that_has_served_is_not_deleted_while_its_pod_is_lost() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).never_load.add("team-alpha/phi-4")
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")
    assert DELETED not in app.calls.writes("cluster")


async def test_one_that_is_older_than_the_limit_is_not_deleted() -> None:
    app = await a_platform()
    _cluster(app).nodes_take = _cluster(app).models_take = timedelta(days=1)
    await ask(app, Asked(dedicated=PHI))
    await later(app, app.timeouts.wait)
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")
    assert DELETED not in app.calls.writes("cluster")


async def test_the_branch_is_looked_at_again_before_it_goes() -> None:
    app = await a_platform()
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})

    async def move(call: Call) -> None:
        if call.name == "create":
            app.repository.commit({DEFAULT_CATALOG_PATH: WIDER})

    app.calls.before = move
    await ask(app, Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    assert DELETED not in app.calls.writes("cluster")
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_it_stays_where_it_cannot_be_remembered() -> None:
    """With the rights of earlier versions it would be made and paid again and again."""
    app = await a_platform()
    _cluster(app).denied.add("ConfigMap")
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    await ask(app, Asked(dedicated=PHI))
    status = shown(app)["workspaces"]
    assert (status.startswith("failure: TooManyNodes"), "ConfigMap" in status) == (True, True)
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"]


async def test_it_stays_where_a_quota_leaves_no_room_to_remember_it() -> None:
    """A quota of others answers like one that is there already: busy."""
    app = await a_platform()
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})

    async def refuse(call: Call) -> None:
        if (call.name, call.target.partition(" ")[0]) == ("create", "ConfigMap"):
            raise Busy("exceeded quota: count/configmaps", reason="QuotaExceeded")

    app.calls.before = refuse
    await ask(app, Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    status = shown(app)["workspaces"]
    assert (status.startswith("failure: TooManyNodes"), "quota" in status) == (True, True)
    assert DELETED not in app.calls.writes("cluster")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_attempt_that_was_cut_off_is_taken_up_again(when: str) -> None:
    app = await a_platform()
    _cluster(app).counted_nodes["phi-4"] = 3
    await push(app, {DEFAULT_CATALOG_PATH: BOUNDED})
    cut = list[Call]()

    async def stop(call: Call) -> None:
        if call.name == "delete_workspace" and not cut:
            cut.append(call)
            raise Unavailable("no answer came")

    setattr(app.calls, when, stop)
    await ask(app, Asked(dedicated=PHI))
    await later(app, 30 * MINUTE)
    assert len(cut) == 1
    assert _cluster(app).names(HOME, "Workspace") == []
    assert _created(app) == 1
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")


async def _gated(*orders: ExternalSecret, catalog: str = GATED) -> FakeApp:
    app = await a_platform()
    _cluster(app).external[HOME] = list(orders)
    await push(app, {DEFAULT_CATALOG_PATH: catalog})
    app.repository.commit({path_of("alpha"): Asked(dedicated=PHI).text()})
    await run(app, PROVISION_GATEWAY)
    app.calls.forget()
    return app


async def test_a_workspace_waits_for_the_external_secret_that_makes_its_secret() -> None:
    app = await _gated(ExternalSecret("other", "other", ready=True), ExternalSecret("es", "hf", ready=False))
    outcome = await run(app, PROVISION_WORKSPACES)
    assert isinstance(outcome, Waiting)
    assert (outcome.reason, "ExternalSecret es" in outcome.note) == ("AccessSecretMissing", True)
    assert (_cluster(app).names(HOME, "Workspace"), _cluster(app).names(HOME, "ResourceQuota")) == (
        [],
        ["workspaces"],
    )
    app.clock.advance(timedelta(hours=1))
    assert isinstance(await run(app, PROVISION_WORKSPACES), Waiting)
    _cluster(app).external[HOME] = [ExternalSecret("es", "hf", ready=True)]
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"]


async def test_its_configuration_waits_with_it() -> None:
    catalog = GATED.replace("preset: phi-4\n", "preset: phi-4\n    context: 8192\n")
    app = await _gated(ExternalSecret("es", "hf", ready=False), catalog=catalog)
    outcome = await run(app, PROVISION_WORKSPACES)
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "AccessSecretMissing"
    assert _cluster(app).names(HOME, "ConfigMap") == _cluster(app).names(HOME, "Workspace") == []
    _cluster(app).external[HOME] = [ExternalSecret("es", "hf", ready=True)]
    await run(app, PROVISION_WORKSPACES)
    assert len(_cluster(app).names(HOME, "ConfigMap")) == len(_cluster(app).names(HOME, "Workspace")) == 1


async def test_without_an_external_secret_it_starts_after_two_minutes_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await _gated()
    for _ in range(2):
        outcome = await run(app, PROVISION_WORKSPACES)
        assert isinstance(outcome, Waiting)
        assert outcome.reason == "AccessSecretMissing"
        app.clock.advance(MINUTE)
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"]
    assert [line for line in caplog.messages if "no ExternalSecret" in line and "hf" in line]


@pytest.mark.parametrize("kinds", ["not_served", "denied"])
async def test_where_nobody_tells_of_external_secrets_nothing_is_waited_for(kinds: str) -> None:
    app = await _gated()
    getattr(_cluster(app), kinds).add("ExternalSecret")
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"]


async def test_a_model_without_an_access_secret_asks_for_none() -> None:
    app = await a_platform()
    await ask(app, Asked(dedicated=PHI))
    assert "external_secrets" not in app.calls.names("cluster")


async def test_a_node_that_is_going_is_not_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).outlive = timedelta(minutes=30)
    await ask(app, Asked())
    await later(app, 5 * MINUTE)
    assert _cluster(app).names(HOME, "Workspace") == []
    caplog.clear()
    await sweep(app)
    assert [node.workspace for node in await _cluster(app).gpu_nodes()] == ["phi-4"]
    assert [line for line in caplog.messages if "delete its node pool" in line] == []
    _cluster(app).not_served.add("NodeClaim")
    await sweep(app)
    assert [line for line in caplog.messages if "delete its node pool" in line]


async def test_a_sweep_lists_node_claims_only_where_a_node_has_lost_its_workspace() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    app.calls.forget()
    await sweep(app)
    assert [name for name in app.calls.names("cluster") if name in ("all_pods", "node_claims")] == [
        "all_pods"
    ]
