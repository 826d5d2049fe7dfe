"""GPU workspaces: nobody sleeps on a node; a stage looks, says what it waits for, and comes back."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.errors import Busy, Rejected
from shared.messaging.outcomes import Done, Waiting
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, a_change, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster, Kept
from tests.stages.road import a_platform, a_team, ask, drain, later, push, run, shown, withdraw

PHI, MISTRAL = {"phi-4": GPU}, {"mistral-7b": GPU}
MINUTE = timedelta(minutes=1)


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _a_request(**asked: str) -> FakeApp:
    """With its product, which says whose GPU it is."""
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(dedicated=asked or PHI).text()})
    await run(app, PROVISION_GATEWAY)
    return app


async def test_a_dedicated_model_gets_a_namespace_with_limits_a_workspace_and_a_route() -> None:
    app = await _a_request()
    outcome = await run(app, PROVISION_WORKSPACES)
    assert outcome == Waiting(timedelta(seconds=30), "NodeClaimNotReady", revision=a_change(app).blob)
    assert {key[1:] for key in _cluster(app).state.objects} == {
        ("ResourceQuota", "workspaces"),
        ("NetworkPolicy", "only-through-the-gateway"),
        ("Workspace", "phi-4"),
        ("HTTPRoute", "phi-4"),
    }
    manifest = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].manifest
    assert manifest["resource"]["instanceType"] == GPU
    assert manifest["resource"]["labelSelector"] == {"matchLabels": {"apps": "team-alpha--phi-4"}}


async def test_limits_stand_before_what_they_limit() -> None:
    app = await _a_request()
    await run(app, PROVISION_WORKSPACES)
    written = app.calls.writes("cluster")
    assert written[0] == "apply Namespace team-alpha"
    limits = (
        "apply ResourceQuota team-alpha/workspaces",
        "apply NetworkPolicy team-alpha/only-through-the-gateway",
    )
    limited = ("create Workspace team-alpha/phi-4", "apply HTTPRoute team-alpha/phi-4")
    assert max(map(written.index, limits)) < min(map(written.index, limited))
    assert written[-1] == "apply Namespace team-alpha"


async def test_what_is_waited_for_is_said_until_the_workspace_is_ready() -> None:
    app = await a_platform()
    seen = []
    await ask(app, Asked(dedicated=PHI))
    for _ in range(14):
        seen.append(shown(app)["workspaces"])
        await later(app, MINUTE)
    seen.append(shown(app)["workspaces"])
    assert list(dict.fromkeys(seen)) == [
        "pending: waiting: NodeClaimNotReady",
        "pending: waiting: InferenceNotReady",
        "success: workspaces ready: phi-4",
    ]
    assert app.bus.next_due() is None


async def test_keys_do_not_wait_for_a_gpu() -> None:
    app = await a_platform()
    await ask(app, Asked(dedicated=PHI))
    assert shown(app)["keys"].startswith("success: keys in vault")


async def test_a_push_during_a_wait_joins_the_chain_instead_of_starting_another() -> None:
    app = await a_platform()
    await ask(app, Asked(dedicated=PHI))
    await push(app, {"README.md": "nothing of access"})
    await run(app, PROVISION_WORKSPACES)
    assert len(app.bus.waiting(PROVISION_WORKSPACES)) == 1


async def test_a_model_that_cannot_be_started_becomes_a_dead_letter_that_says_why() -> None:
    app = await a_platform()
    _cluster(app).failing.add("team-alpha/phi-4")
    await ask(app, Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    assert shown(app)["workspaces"].startswith("failure: WorkspaceFailed: phi-4")
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["stage"], letter.properties["team"]) == (
        "WorkspaceFailed",
        "provision-workspaces",
        "alpha",
    )


async def test_another_instance_type_replaces_the_workspace() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    app.calls.forget()
    await ask(app, Asked(dedicated={"phi-4": LARGER_GPU}))
    assert "delete_workspace team-alpha/phi-4" in app.calls.writes("cluster")
    assert shown(app)["workspaces"] == "pending: waiting: WorkspaceDeleting"
    await later(app, 20 * MINUTE)
    assert (
        _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].manifest["resource"]["instanceType"]
        == LARGER_GPU
    )
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


@pytest.mark.parametrize("minutes", [1, 30, 100])
async def test_a_model_that_replaces_another_comes_when_that_is_gone(
    minutes: int,
) -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).going_takes = minutes * MINUTE
    await ask(app, Asked(dedicated=MISTRAL))
    assert shown(app)["workspaces"] == "pending: waiting: WorkspaceDeleting"
    assert _cluster(app).names("team-alpha", "HTTPRoute") == []
    await later(app, (minutes + 15) * MINUTE)
    assert (
        _cluster(app).names("team-alpha", "Workspace")
        == _cluster(app).names("team-alpha", "HTTPRoute")
        == ["mistral-7b"]
    )
    assert shown(app)["workspaces"] == "success: workspaces ready: mistral-7b"
    assert app.bus.dead_letters() == []


async def test_a_quota_that_has_no_room_is_waited_for_and_no_role_is_missed() -> None:
    app = await a_platform()
    theirs = {"metadata": {"name": "theirs", "namespace": "team-alpha"}, "kind": "Workspace"}
    _cluster(app).state.objects["team-alpha", "Workspace", "theirs"] = Kept(theirs, "1", app.clock.now())
    await ask(app, Asked(dedicated=PHI))
    await later(app, 30 * MINUTE)
    assert shown(app)["workspaces"] == "pending: waiting: QuotaExceeded"
    assert app.bus.dead_letters() == []
    del _cluster(app).state.objects["team-alpha", "Workspace", "theirs"]
    await later(app, 15 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_a_quota_that_counts_too_late_is_tried_again_after_a_second() -> None:
    app, moments = await a_platform(), list[datetime]()

    async def count_late(call: Call) -> None:
        if call.name == "create":
            moments.append(app.clock.now())
            if len(moments) <= 2:
                raise Busy("403: status unknown for quota: workspaces", reason="QuotaExceeded")

    app.calls.before = count_late
    await ask(app, Asked(dedicated=PHI))
    await later(app, 2 * MINUTE)
    first, second, third = moments
    assert timedelta(seconds=1) <= second - first < timedelta(seconds=3)
    assert third - second >= timedelta(seconds=30)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_a_workspace_that_somebody_deleted_comes_back() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    del _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"]
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert "create Workspace team-alpha/phi-4" in app.calls.writes("cluster")
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_a_second_model_raises_the_limit_first() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await ask(app, Asked(dedicated=PHI | MISTRAL))
    assert _cluster(app).names("team-alpha", "Workspace") == ["mistral-7b", "phi-4"]
    assert app.bus.dead_letters() == []


async def test_a_removed_model_gives_its_node_back_and_leaves_the_other() -> None:
    app = await a_team(Asked(dedicated=PHI | MISTRAL))
    await later(app, 15 * MINUTE)
    await ask(app, Asked(dedicated=PHI))
    await later(app, 5 * MINUTE)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    assert _cluster(app).names("team-alpha", "HTTPRoute") == ["phi-4"]
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_the_last_removed_model_takes_the_namespace_with_it() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await ask(app, Asked())
    await later(app, 5 * MINUTE)
    assert _cluster(app).state.namespaces == {}
    assert _cluster(app).state.objects == {}


async def test_a_model_asked_for_again_while_its_namespace_goes_comes_when_it_is_gone() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await ask(app, Asked())
    await later(app, 20 * timedelta(seconds=1))
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    await later(app, 20 * MINUTE)
    assert await run(app, PROVISION_WORKSPACES) == Done("workspaces ready: phi-4")
    assert app.bus.next_due() is None


async def test_a_withdrawn_team_keeps_its_gpu_for_a_while() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await withdraw(app)
    assert shown(app)["workspaces"] == "pending: waiting: WithdrawalDelay"
    await later(app, app.timeouts.workspace_grace - MINUTE)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    await later(app, 5 * MINUTE)
    assert _cluster(app).state.namespaces == {}
    assert app.bus.next_due() is None


async def test_a_team_that_comes_back_in_time_keeps_its_gpu() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    await withdraw(app)
    created = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].created
    await later(app, 30 * MINUTE)
    await ask(app, Asked(dedicated=PHI))
    await later(app, 2 * app.timeouts.workspace_grace)
    assert _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].created == created
    ends = {
        status.commit: status.description
        for status in app.reports.shown
        if status.context == "mergekey/alpha/workspaces"
    }
    assert list(ends.values())[-2:] == ["nothing is left to wait for", "workspaces ready: phi-4"]


async def test_a_node_that_does_not_come_is_given_up_after_the_limit() -> None:
    app = await a_platform()
    _cluster(app).nodes_take = _cluster(app).models_take = timedelta(days=1)
    await ask(app, Asked(dedicated=PHI))
    await later(app, app.timeouts.wait + 2 * MINUTE)
    assert shown(app)["workspaces"].startswith("failure: WaitedTooLong: NodeClaimNotReady")
    assert app.bus.next_due() is None


async def test_a_change_that_kaito_does_not_allow_is_never_tried() -> None:
    app = await a_team(Asked(dedicated=PHI))
    manifest = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].manifest
    with pytest.raises(Rejected):
        await _cluster(app).apply(
            {**manifest, "resource": {**manifest["resource"], "instanceType": LARGER_GPU}}
        )
    await ask(app, Asked(dedicated={"phi-4": LARGER_GPU}))
    await drain(app)
    assert app.bus.dead_letters() == []


async def test_a_team_without_a_workspace_of_its_own_costs_one_read() -> None:
    app = await a_team()
    assert await run(app, PROVISION_WORKSPACES) == Done(wrote=False)
    assert app.calls.names("cluster") == ["namespace"]
