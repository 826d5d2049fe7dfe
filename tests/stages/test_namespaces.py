"""Namespaces that go, that do not go, and that have lost their label."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from shared.errors import AccessDenied
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Done
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, Asked, FakeApp, an_event, catalog_text
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster, Kept
from tests.stages import edits
from tests.stages.asking import record
from tests.stages.road import a_team, ask, later, push, shown, withdraw

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
PHI = Asked(dedicated={"phi-4": GPU})

#: The catalogue says what a node costs.
PRICED = f"currency: EUR\nnodePrice: {{{GPU}: 3.67}}\n"


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _going(app: FakeApp, *, takes: timedelta) -> None:
    """The last model of alpha is taken out; its workspace takes so long to go."""
    _cluster(app).namespace_begins = 5 * SECOND
    _cluster(app).going_takes = takes
    await ask(app, Asked())


async def _deleted_by_hand(app: FakeApp) -> None:
    found = await _cluster(app).namespace("team-alpha")
    assert found is not None
    await _cluster(app).delete_namespace("team-alpha", found.resource_version)


async def _swept(app: FakeApp, caplog: pytest.LogCaptureFixture) -> tuple[Done, str]:
    caplog.clear()
    with caplog.at_level(logging.ERROR, "mergekey"):
        outcome = await run_sweep(app, an_event(app, Sweep(why="a test"), f"sweep-{len(app.bus.sent)}"))
    assert isinstance(outcome, Done)
    return outcome, caplog.text


async def test_a_stage_waits_until_the_namespace_that_it_deleted_is_gone() -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    await _going(app, takes=MINUTE)
    seen = [shown(app)["workspaces"]]
    for _ in range(12):
        await later(app, 10 * SECOND)
        seen.append(shown(app)["workspaces"])
    assert list(dict.fromkeys(seen))[:2] == [
        "pending: waiting: WorkspaceDeleting",
        "pending: waiting: NamespaceTerminating",
    ]
    assert seen[-1].startswith("success")
    assert (_cluster(app).state.namespaces, app.bus.next_due()) == ({}, None)


async def test_a_withdrawn_namespace_that_does_not_go_says_why_and_turns_red() -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    _cluster(app).namespace_begins = 5 * SECOND
    _cluster(app).going_takes = timedelta(days=9)
    await withdraw(app)
    await _deleted_by_hand(app)
    await later(app, 2 * MINUTE)
    why = "1 resource instances are remaining"
    assert shown(app)["workspaces"] == "pending: waiting: WithdrawalDelay"
    await later(app, app.timeouts.workspace_grace)
    assert shown(app)["workspaces"] == f"pending: waiting: NamespaceTerminating: {why}"
    await later(app, app.timeouts.wait + MINUTE)
    assert shown(app)["workspaces"].startswith("failure: WaitedTooLong: NamespaceTerminating")


async def test_an_answer_says_that_a_namespace_goes_and_why_it_stays() -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    _cluster(app).namespace_begins = 5 * SECOND
    _cluster(app).going_takes = timedelta(days=1)
    await _deleted_by_hand(app)
    told = []
    for _ in range(2):
        [part] = [each for each in (await record(app)).conditions if each.type == "Workspaces"]
        told.append((part.status, part.reason, part.message))
        app.clock.advance(10 * SECOND)
    assert told == [
        ("False", "NamespaceTerminating", "team-alpha is being deleted"),
        ("False", "NamespaceTerminating", "1 resource instances are remaining"),
    ]


async def test_in_the_first_seconds_of_a_deletion_a_sweep_says_that_it_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    assert await _swept(app, caplog) == (Done("0 of 1 teams differ, 0 messages queued"), "")
    _cluster(app).namespace_begins = 5 * SECOND
    await _deleted_by_hand(app)
    [home] = await _cluster(app).namespaces()
    assert [each.terminating for each in await _cluster(app).workspaces(home.name)] == [False]
    outcome, _ = await _swept(app, caplog)
    assert outcome.note is not None
    assert outcome.note.startswith("1 of 1 teams differ, ")
    assert outcome.note.endswith(", 1 namespaces are being deleted")


async def test_a_sweep_tells_of_each_namespace_that_stays_longer_than_ten_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    await _going(app, takes=timedelta(days=2))
    _cluster(app).state.namespaces["team-theirs"] = Kept(
        {"metadata": {"name": "team-theirs"}}, "1", app.clock.now(), deleted=app.clock.now()
    )
    await _deleted_by_hand(app)
    for minutes, told in ((9, False), (2, True), (60, True)):
        await later(app, minutes * MINUTE)
        _, text = await _swept(app, caplog)
        assert ("namespace team-alpha has been going for" in text) == told
        assert ("1 resource instances are remaining" in text) == told
        assert "team-theirs" not in text


async def test_a_workspace_that_does_not_go_is_told_and_keeps_its_namespace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(PHI)
    await push(app, {DEFAULT_CATALOG_PATH: PRICED + catalog_text()})
    await later(app, 15 * MINUTE)
    _cluster(app).going_takes = timedelta(days=9)
    await withdraw(app)
    await later(app, app.timeouts.workspace_grace + MINUTE)
    for minutes, told in ((7, False), (5, True), (2 * 24 * 60, True)):
        await later(app, minutes * MINUTE)
        _, text = await _swept(app, caplog)
        assert ("workspace team-alpha/phi-4 has been going for" in text) == told
        assert (", for 3.67 EUR an hour\n" in text) == told
        [part] = [each for each in (await record(app)).conditions if each.type == "Workspaces"]
        assert (part.status, part.reason, part.message) == (
            "False",
            "WorkspaceDeleting",
            "being deleted: phi-4",
        )
    assert shown(app)["workspaces"].startswith("failure: WaitedTooLong: WorkspaceDeleting")
    _cluster(app).going_takes = MINUTE
    await later(app, MINUTE)
    await _swept(app, caplog)
    await later(app, MINUTE)
    assert "has been going for" not in (await _swept(app, caplog))[1]


async def test_a_namespace_without_its_label_is_told_with_its_price_and_the_cure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)
    for prices, cost in (("", ""), (PRICED, ", for 3.67 EUR an hour")):
        await push(app, {DEFAULT_CATALOG_PATH: prices + catalog_text()})
        await later(app, MINUTE)
        labels = _cluster(app).state.namespaces["team-alpha"].manifest["metadata"]["labels"]
        labels["app.kubernetes.io/managed-by"] = "Helm"
        _, text = await _swept(app, caplog)
        assert f"phi-4 on {GPU}{cost}\n" in text
        line = "kubectl label namespace team-alpha app.kubernetes.io/managed-by=mergekey --overwrite"
        assert line in text
        [part] = [each for each in (await record(app)).conditions if each.type == "Workspaces"]
        assert (part.status, part.reason) == ("False", "LabelLost")
        assert line in part.message


async def test_the_price_of_a_namespace_without_its_label_counts_all_nodes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(PHI)
    await push(app, {DEFAULT_CATALOG_PATH: PRICED + catalog_text()})
    await later(app, 15 * MINUTE)
    del _cluster(app).state.namespaces["team-alpha"].manifest["metadata"]["labels"]
    for nodes, cost in ((3, "11.01"), (0, "3.67")):
        _cluster(app).counted_nodes["phi-4"] = nodes
        assert f", for {cost} EUR an hour\n" in (await _swept(app, caplog))[1]


async def test_a_stranger_with_our_prefix_is_neither_told_nor_touched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(edits.FULL)
    await later(app, 15 * MINUTE)
    theirs = Kept(
        {"metadata": {"name": "team-payments", "labels": {"app": "payments"}}}, "1", app.clock.now()
    )
    _cluster(app).state.namespaces["team-payments"] = theirs
    app.calls.forget()
    assert await _swept(app, caplog) == (Done("0 of 1 teams differ, 0 messages queued"), "")
    assert not [call for call in app.calls.made if "team-payments" in call.target]


async def test_eleven_hundred_namespaces_cost_no_call_more_than_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team(edits.FULL)
    await later(app, 15 * MINUTE)
    app.calls.forget()
    await _swept(app, caplog)
    few = len(app.calls.made)
    for number in range(1_100):
        kept = Kept({"metadata": {"name": f"team-other-{number}"}}, "1", app.clock.now())
        _cluster(app).state.namespaces[f"team-other-{number}"] = kept
    app.calls.forget()
    await _swept(app, caplog)
    assert len(app.calls.made) == few


async def test_a_sweep_goes_on_where_it_may_not_list_limits(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team(PHI)
    await later(app, 15 * MINUTE)

    async def refuse(call: Call) -> None:
        if call.name in ("all_quotas", "all_network_policies"):
            raise AccessDenied("Kubernetes answered 403")

    app.calls.before = refuse
    app.gateway.state.links.clear()
    outcome, text = await _swept(app, caplog)
    assert outcome.note is not None
    assert outcome.note.startswith("1 of 1 teams differ")
    assert "Kubernetes answered 403: what is unknown is not compared" in text
    assert "limits" not in text
