"""What somebody changed behind our back: a sweep finds it, the stages put it right, and the next sweep has
nothing to write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Busy
from shared.messaging.messages import Sweep
from shared.messaging.routes import PROVISION_GATEWAY, TOPIC
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import GpuNode, Product, Subscription
from shared.stages.settlement import start_sweep
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, OTHER_READERS, Asked, FakeApp, an_event, catalog_text, path_of
from tests.fakes.gateways import GATEWAY
from tests.stages import edits
from tests.stages.road import a_platform, ask, drain, later, push, run, shown, world


async def a_team(asked: Asked) -> FakeApp:
    """An app with a team, at a Gateway whose controller nothing tells: a network policy has one form, and no
    steps between two.
    """
    app = await a_platform()
    assert app.cluster is not None
    app.cluster.gateways = {GATEWAY.name: replace(GATEWAY, class_name="of-our-own")}
    app.cluster.controller = None
    await ask(app, asked)
    app.calls.forget()
    return app


async def settled() -> FakeApp:
    app = await a_team(edits.FULL)
    await later(app, timedelta(minutes=30))
    app.calls.forget()
    return app


async def swept(app: FakeApp, deep: bool = False) -> list[str]:
    """The teams for which a sweep queues a change; then everything that is due happens."""
    seen = len(app.bus.sent)
    await run_sweep(app, an_event(app, Sweep(why="a test", deep=deep), f"sweep-{seen}"))
    teams = [str(envelope.session) for envelope in app.bus.sent[seen:] if envelope.entity == TOPIC]
    await later(app, timedelta(minutes=30))
    return list(dict.fromkeys(teams))


@pytest.mark.parametrize("change", edits.SEEN_IN_LISTS)
async def test_what_lists_show_is_put_right_and_then_nothing_is_left_to_write(change: edits.Change) -> None:
    app = await settled()
    before = deepcopy(world(app))
    change(app)
    assert world(app) != before
    assert len(await swept(app)) == 1
    assert world(app) == before
    app.calls.forget()
    assert await swept(app) == []
    assert app.calls.writes() == []


@pytest.mark.parametrize(
    ("change", "write"),
    [
        (edits.open_the_product, "require_subscription team-alpha"),
        (edits.ask_for_no_keys, "mark_api ai"),
        (edits.ask_for_keys_elsewhere, "mark_api ai"),
    ],
)
async def test_a_door_that_stands_open_is_closed_with_one_write(change: edits.Change, write: str) -> None:
    app = await settled()
    change(app)
    await swept(app)
    assert app.calls.writes() == [write]


@pytest.mark.parametrize(("change", "team"), edits.SEEN_BY_A_DEEP_LOOK)
async def test_what_lists_cannot_show_a_deep_look_finds(change: edits.Change, team: str) -> None:
    app = await settled()
    before = deepcopy(world(app))
    change(app)
    assert world(app) != before
    assert await swept(app) == []
    assert await swept(app, deep=True) == [team]
    assert world(app) == before
    app.calls.forget()
    assert await swept(app, deep=True) == []
    assert app.calls.writes() == []


async def test_a_workspace_of_somebody_else_is_told_and_stays(caplog: pytest.LogCaptureFixture) -> None:
    app = await settled()
    edits.copy_the_workspace_alone(app)
    edits.objects_of(app)["Workspace", "phi-3"].manifest["metadata"]["labels"] = {"app": "theirs"}
    assert await swept(app) == []
    assert app.calls.writes() == []
    assert "workspace team-alpha/phi-3 is not managed by mergekey" in caplog.text


async def test_the_limits_of_shared_workspaces_are_the_catalogues_to_look_at() -> None:
    app = await settled()
    shared = (
        "  - {name: llama, provider: kaito, preset: llama-3.1-8b-instruct, shared: {instanceType: "
        f"{GPU}}}}}\n"
    )
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text() + shared})
    await later(app, timedelta(minutes=30))
    before = deepcopy(world(app))
    assert app.cluster is not None
    del app.cluster.state.objects["team-catalogue", *edits.QUOTA]
    edits.objects_of(app, "team-catalogue")[edits.NETWORK].manifest["spec"]["ingress"] = [{}]
    assert await swept(app) == ["catalogue"]
    assert world(app) == before
    app.calls.forget()
    assert await swept(app) == []
    assert app.calls.writes() == []


async def test_what_lists_by_label_lack_is_looked_for_by_name() -> None:
    app = await settled()
    await ask(app, Asked(team="bravo", dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))
    for edit, looks in ((edits.open_the_network, []), (edits.remove_limits, ["limits team-alpha"])):
        edit(app)
        app.calls.forget()
        await run_sweep(app, an_event(app, Sweep(why="a test"), f"sweep-{edit.__name__}"))
        assert [str(call) for call in app.calls.made if call.name == "limits"] == looks
        await later(app, timedelta(minutes=30))


async def test_an_opened_network_is_closed_by_the_next_sweep_of_the_timer() -> None:
    app = await settled()
    before = deepcopy(world(app))
    edits.open_the_network(app)
    edits.raise_the_quota(app)
    await start_sweep(app, "the timer")
    await later(app, timedelta(minutes=1))
    assert world(app) == before
    assert sorted(app.calls.writes()) == [
        "apply NetworkPolicy team-alpha/only-through-the-gateway",
        "apply ResourceQuota team-alpha/workspaces",
    ]


#: Each of a team's objects in its namespace.
OBJECTS = [edits.QUOTA, edits.NETWORK, ("Workspace", "phi-4"), ("HTTPRoute", "phi-4")]


@pytest.mark.parametrize("lost", OBJECTS)
async def test_an_object_that_lost_its_label_is_told_and_left_alone(lost: tuple[str, str]) -> None:
    app = await settled()
    edits.take_label_off(app, *lost)
    before = deepcopy(world(app))
    assert await swept(app) == ["alpha"]
    assert [letter.properties["reason"] for letter in app.bus.dead_letters()] == ["NotManaged"]
    assert (world(app), app.calls.writes()) == (before, [])
    for _ in range(4):
        await swept(app)
    assert (len(app.bus.dead_letters()), app.calls.writes()) == (1, [])


@pytest.mark.parametrize("lost", OBJECTS)
async def test_one_label_that_is_lost_costs_no_other_object_its_repair(lost: tuple[str, str]) -> None:
    """Before the sweep that finds it, and beside the dead letter that it left."""
    app = await a_team(Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    await later(app, timedelta(minutes=30))
    edits.take_label_off(app, *lost)
    before = deepcopy(world(app))
    for _ in range(2):
        for edit in (edits.open_the_network, edits.raise_the_quota, edits.remove_the_other_workspace):
            if edit not in edits.EDITS_OF.get(lost, ()):
                edit(app)
        assert await swept(app) == ["alpha"]
        assert world(app) == before
    seen = len(app.bus.dead_letters())
    app.calls.forget()
    for _ in range(4):
        await swept(app)
    assert (len(app.bus.dead_letters()), app.calls.writes()) == (seen, [])


@pytest.mark.parametrize("taken", [edits.QUOTA, edits.NETWORK, ("HTTPRoute", "mistral-7b")])
async def test_a_namespace_that_others_keep_unfinished_leaves_one_dead_letter(taken: tuple[str, str]) -> None:
    """It has no digest: the second workspace waits for what others have taken."""
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))
    objects = edits.objects_of(app)
    theirs = deepcopy(objects.get(taken, objects["HTTPRoute", "phi-4"]))
    theirs.manifest["metadata"] |= {"name": taken[1], "labels": {"app": "theirs"}}
    theirs.manifest["spec"] |= {"hard": {}, "ingress": [{}], "rules": []}
    assert app.cluster is not None
    app.cluster.state.objects["team-alpha", *taken] = theirs
    await ask(app, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    app.calls.forget()
    for _ in range(4):
        await swept(app)
    assert [letter.properties["reason"] for letter in app.bus.dead_letters()] == ["NotManaged"]
    assert app.calls.writes("cluster") == []
    app.cluster.state.objects.pop(("team-alpha", *taken))
    app.clock.advance(timedelta(days=1))
    await swept(app)
    assert app.cluster.names("team-alpha", "Workspace") == ["mistral-7b", "phi-4"]


async def test_a_namespace_without_the_label_of_the_cluster_is_left_alone_and_told() -> None:
    app = await settled()
    await ask(app, Asked(team="bravo", dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))
    assert app.cluster is not None
    labels = app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["labels"]
    del labels["app.kubernetes.io/managed-by"]
    closed = deepcopy(edits.objects_of(app)[edits.NETWORK].manifest["spec"])
    edits.open_the_network(app)
    app.cluster.state.objects.pop(("team-bravo", *edits.NETWORK))
    app.calls.forget()
    assert await swept(app) == ["alpha", "bravo"]
    assert {write for write in app.calls.writes("cluster") if "alpha" in write} == set()
    assert ("team-bravo", *edits.NETWORK) in app.cluster.state.objects
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["stage"]) == ("LabelLost", "provision-workspaces")
    assert shown(app)["workspaces"].startswith("failure: LabelLost: namespace team-alpha")
    for _ in range(3):
        await swept(app)
    assert len(app.bus.dead_letters()) == 1
    labels["app.kubernetes.io/managed-by"] = "mergekey"
    assert await swept(app) == ["alpha"]
    assert edits.objects_of(app)[edits.NETWORK].manifest["spec"] == closed


async def test_a_gpu_is_not_started_where_its_limits_or_its_route_are_of_others() -> None:
    for taken, edit in (
        (edits.QUOTA, edits.raise_the_quota),
        (edits.NETWORK, edits.open_the_network),
        (("HTTPRoute", "phi-4"), edits.lead_the_route_elsewhere),
    ):
        app = await settled()
        edits.take_label_off(app, *taken)
        edit(app)
        edits.remove_the_workspace(app)
        await swept(app)
        assert app.cluster is not None
        assert app.cluster.names("team-alpha", "Workspace") == []
        assert [letter.properties["reason"] for letter in app.bus.dead_letters()] == ["NotManaged"]


async def test_a_policy_that_went_with_the_fragment_returns_with_the_catalogue() -> None:
    app = await settled()
    before = deepcopy(world(app))
    app.gateway.state.policies.clear()
    edits.remove_the_fragment(app)
    assert sorted(await swept(app, deep=True)) == ["alpha", "catalogue"]
    assert world(app) == before
    assert app.bus.dead_letters() == []


async def test_a_policy_that_waits_for_the_fragment_is_no_dead_letter() -> None:
    app = await settled()
    app.gateway.state.policies.clear()
    edits.remove_the_fragment(app)
    with pytest.raises(Busy) as waits:
        await run(app, PROVISION_GATEWAY)
    assert waits.value.reason == "BackendGone"


async def test_everybody_is_looked_at_deeply_once_a_day() -> None:
    app = await settled()
    before = deepcopy(world(app))
    edits.edit_the_policy(app)
    for _ in range(96):
        await start_sweep(app, "the timer")
        await later(app, timedelta(minutes=15))
    assert world(app) == before
    assert len([call for call in app.calls.made if call.name == "product_policy"]) <= 4


async def test_objects_of_a_team_that_is_gone_without_a_product_are_removed() -> None:
    app = await settled()
    await push(app, {path_of("zulu"): Asked(team="zulu").text()})
    app.repository.commit({path_of("alpha"): None})
    state = app.gateway.state
    del (
        state.products["team-alpha"],
        state.policies["team-alpha"],
        state.subscriptions["team-alpha"],
        state.keys["team-alpha"],
    )
    await swept(app)
    await later(app, timedelta(hours=2))
    assert not [name for name in (*app.vault.names(), *state.backends) if "alpha" in name]
    assert app.cluster is not None
    assert not app.cluster.state.namespaces


#: How each kind of object is found left over: its name among what there is.
LEFT_OVER: dict[str, Callable[[FakeApp], list[str]]] = {
    "product": lambda app: list(app.gateway.state.products),
    "subscription": lambda app: list(app.gateway.state.subscriptions),
    "backend": lambda app: list(app.gateway.state.backends),
    "secrets": lambda app: list(app.vault.names()),
    "namespace": lambda app: list(app.cluster.state.namespaces) if app.cluster else [],
}


def _take_all_but(app: FakeApp, left: str) -> None:
    """Of alpha everything is gone, by somebody's hand, but one kind of object."""
    gateway, cluster = app.gateway.state, app.cluster.state if app.cluster else None
    assert cluster is not None
    kinds: dict[str, list[Any]] = {
        "product": [gateway.products, gateway.policies],
        "subscription": [gateway.subscriptions, gateway.keys],
        "backend": [gateway.backends],
        "secrets": [app.vault.kept],
        "namespace": [cluster.namespaces, cluster.objects],
    }
    for table in (table for kind, tables in kinds.items() if kind != left for table in tables):
        for name in [name for name in table if "alpha" in str(name)]:
            del table[name]
    gateway.links = {link for link in gateway.links if left == "product" or link[0] != "team-alpha"}


@pytest.mark.parametrize("left", LEFT_OVER)
async def test_whatever_alone_is_left_of_a_team_that_is_gone_is_found_and_goes(left: str) -> None:
    app = await settled()
    await push(app, {path_of("zulu"): Asked(team="zulu").text()})
    app.repository.commit({path_of("alpha"): None})
    _take_all_but(app, left)
    assert [name for name in LEFT_OVER[left](app) if "alpha" in name]
    assert await swept(app) == ["alpha"]
    await later(app, app.timeouts.grace)
    await swept(app)
    assert [name for listed in LEFT_OVER.values() for name in listed(app) if "alpha" in name] == []
    app.calls.forget()
    assert await swept(app) == []
    assert app.calls.writes() == []


def _let_grace_end(app: FakeApp) -> None:
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})


def _let_access_end(app: FakeApp) -> None:
    app.repository.commit({path_of("alpha"): replace(edits.FULL, expires=app.clock.now().date()).text()})
    app.clock.advance(timedelta(days=1))


@pytest.mark.parametrize("change", [*edits.SEEN_IN_LISTS, _let_grace_end, _let_access_end])
async def test_a_sweep_that_only_reports_tells_what_differs_and_leaves_it(
    change: edits.Change, caplog: pytest.LogCaptureFixture
) -> None:
    app = await settled()
    change(app)
    before, sent = world(app), len(app.bus.sent)
    app.sweep_report_only = True
    with caplog.at_level(logging.WARNING, "mergekey"):
        assert await swept(app) == []
    assert "Sweep: alpha: " in caplog.text or "Sweep: catalogue: " in caplog.text
    assert (world(app), app.bus.sent[sent:], app.calls.writes()) == (before, [], [])
    app.sweep_report_only = False
    assert await swept(app)


def _subscription(product: str) -> Subscription:
    return Subscription("x", '"x"', "A friend", product, "", "active")


def _copy(app: FakeApp) -> None:
    """A product that somebody cloned in the portal, marker and all."""
    product = replace(app.gateway.state.products["team-alpha"], name="copy-of-alpha")
    app.gateway.state.products["copy-of-alpha"] = product
    app.gateway.state.links.add(("copy-of-alpha", "ai"))


@pytest.mark.parametrize(
    ("arrange", "told"),
    [
        (
            lambda app: app.gateway.state.subscriptions.update(x=_subscription("team-alpha")),
            "product team-alpha",
        ),
        (lambda app: app.gateway.state.subscriptions.update(x=_subscription("")), "for an API or for all"),
        (lambda app: app.gateway.state.links.add(("theirs", "ai")), "theirs is linked"),
        (_copy, "copy-of-alpha is linked"),
        (
            lambda app: app.roles.by_others.add(("alpha-primary-key", OTHER_READERS)),
            "may read the secret alpha-primary-key",
        ),
        (
            lambda app: app.cluster.left_nodes.append(GpuNode("aks-gpu-1", "team-gone", "phi-4")),
            "GPU node aks-gpu-1",
        ),
        (lambda app: setattr(app.repository, "protected", False), "not protected"),
    ],
)
async def test_what_is_somebody_elses_is_told_and_left_alone(
    arrange: Callable[[FakeApp], None], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = await settled()
    app.gateway.state.products["theirs"] = Product("theirs", '"x"', "Theirs", published=True, marker=None)
    arrange(app)
    with caplog.at_level(logging.ERROR, "mergekey"):
        assert await swept(app) == []
    assert told in caplog.text
    assert app.calls.writes() == []


async def test_the_subscription_that_the_service_makes_for_itself_is_not_worth_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await settled()
    app.gateway.state.subscriptions["master"] = Subscription(
        "master", "", "Built-in all-access subscription", "", "1", "active"
    )
    with caplog.at_level(logging.ERROR, "mergekey"):
        await swept(app)
    assert caplog.text == ""


async def test_a_team_in_its_grace_period_costs_nothing_until_it_ends() -> None:
    app = await settled()
    await push(app, {path_of("zulu"): Asked(team="zulu").text()})
    await push(app, {path_of("alpha"): None})
    await later(app, timedelta(hours=2))
    app.calls.forget()
    for _ in range(3):
        assert await swept(app) == []
    assert app.calls.writes() == []
    await later(app, timedelta(days=7))
    assert await swept(app) == ["alpha"]
    await drain(app)
    assert "team-alpha" not in app.gateway.state.products
    assert await swept(app) == []
