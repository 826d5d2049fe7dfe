"""What does not carry our marker for that team is somebody else's: it stays as it is, and the platform is
told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import NotManaged
from shared.marker import Marker
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_WORKSPACES,
    Stage,
)
from shared.names import CATALOG_TEAM
from shared.resources.actual import ActualBackend, Api, Product, Subscription
from shared.resources.workspaces import Manifest, marker_annotations, namespace_manifest
from shared.secret import SecretValue
from shared.stages.settlement import start_sweep
from tests.fakes.app import (
    GPU,
    LARGER_GPU,
    OTHER_READERS,
    REPOSITORY,
    Asked,
    FakeApp,
    a_change,
    an_event,
    keys_message,
    path_of,
)
from tests.fakes.gateway import Policy
from tests.stages.road import WORK, a_platform, a_team, ask, drain, later, push, run, withdraw, world

OTHERS: list[Marker | None] = [
    None,
    Marker(REPOSITORY + 1, "alpha", path_of("alpha"), "0" * 40, "f" * 64),
    Marker(REPOSITORY, "bravo", path_of("bravo"), "0" * 40, "f" * 64),
]
THEIR_GROUP = "9a8b7c6d-5e4f-4a3b-9c2d-1e0f9a8b7c6d"
NAMES = ["nobody's", "another repository's", "another team's"]


async def _a_request() -> FakeApp:
    app = await a_platform()
    app.repository.commit(
        {path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text(), path_of("zulu"): Asked(team="zulu").text()}
    )
    return app


async def _refused(app: FakeApp, stage: Stage, team: str = "alpha") -> None:
    before = world(app)
    app.calls.forget()
    with pytest.raises(NotManaged) as refused:
        await run(app, stage, team)
    assert refused.value.actor == "the platform"
    assert app.calls.writes() == []
    assert world(app) == before


@pytest.mark.parametrize("marker", OTHERS, ids=NAMES)
async def test_a_product_of_somebody_else(marker: Marker | None) -> None:
    """With the policy and the link that belong to it."""
    app = await _a_request()
    app.gateway.state.products["team-alpha"] = Product(
        "team-alpha", '"x"', "Alpha", published=True, marker=marker
    )
    app.gateway.state.policies["team-alpha"] = Policy("<policies />", '"y"')
    app.gateway.state.links.add(("team-alpha", "ai"))
    await _refused(app, PROVISION_GATEWAY)
    app.repository.commit({path_of("alpha"): None})
    await _refused(app, PROVISION_GATEWAY)


@pytest.mark.parametrize("marker", OTHERS, ids=NAMES)
async def test_a_backend_of_somebody_else(marker: Marker | None) -> None:
    app = await _a_request()
    app.gateway.state.backends["team-alpha--phi-4"] = ActualBackend(
        "team-alpha--phi-4", '"x"', "https://elsewhere/v1", marker
    )
    await _refused(app, PROVISION_GATEWAY)


@pytest.mark.parametrize(
    "name", ["", "Team Alpha", f"mergekey/{REPOSITORY}/bravo", f"mergekey/{REPOSITORY + 1}/alpha"]
)
async def test_a_subscription_of_somebody_else(name: str) -> None:
    app = await _a_request()
    await run(app, PROVISION_GATEWAY)
    app.gateway.state.subscriptions["team-alpha"] = Subscription(
        "team-alpha", '"x"', name, "team-alpha", "", "active"
    )
    app.gateway.state.keys["team-alpha"] = ["one", "two"]
    await _refused(app, DELIVER_KEYS)


async def test_a_renamed_subscription_opens_nothing_while_its_team_is_withdrawn() -> None:
    app = await a_team()
    subscriptions = app.gateway.state.subscriptions
    subscriptions["team-alpha"] = replace(subscriptions["team-alpha"], display_name="Mine")
    await withdraw(app)
    assert subscriptions["team-alpha"].state == "active", "it is not ours"
    assert not [link for link in app.gateway.state.links if link[0] == "team-alpha"]
    assert app.vault.value("alpha-primary-key") is None
    [letter] = app.bus.dead_letters()
    assert (letter.properties["stage"], letter.properties["reason"]) == ("deliver-keys", "NotManaged")
    app.calls.forget()
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.calls.writes() == []
    subscriptions["team-alpha"] = replace(
        subscriptions["team-alpha"], display_name=f"mergekey/{REPOSITORY}/alpha"
    )
    await ask(app, Asked())
    assert ("team-alpha", "ai") in app.gateway.state.links
    assert app.vault.value("alpha-primary-key") is not None


async def test_a_subscription_of_somebody_else_is_not_suspended_by_a_withdrawal() -> None:
    app = await _a_request()
    app.gateway.state.subscriptions["team-alpha"] = Subscription(
        "team-alpha", '"x"', "Alpha", "team-alpha", "", "active"
    )
    app.repository.commit({path_of("alpha"): None})
    await run(app, PROVISION_GATEWAY)
    assert app.calls.writes() == []


@pytest.mark.parametrize("secret", ["alpha-primary-key", "alpha-secondary-key", "alpha-endpoint"])
@pytest.mark.parametrize(
    "tags",
    [{}, {"repository": str(REPOSITORY), "team": "bravo"}, {"repository": "1", "team": "alpha"}],
    ids=NAMES,
)
async def test_a_secret_of_somebody_else(secret: str, tags: dict[str, str]) -> None:
    app = await _a_request()
    await run(app, PROVISION_GATEWAY)
    await app.vault.set(secret, SecretValue("theirs"), "text", tags)
    await _refused(app, DELIVER_KEYS)
    app.repository.commit({path_of("alpha"): None})
    await _refused(app, DELIVER_KEYS)
    assert app.vault.value(secret) == "theirs"


@pytest.mark.parametrize("secret", ["alpha-primary-key", "Alpha-Primary-Key", "alpha-endpoint"])
@pytest.mark.parametrize(
    "tags",
    [{}, {"repository": str(REPOSITORY), "team": "bravo"}, {"repository": "1", "team": "alpha"}],
    ids=NAMES,
)
async def test_a_deleted_secret_of_somebody_else_stays_deleted(secret: str, tags: dict[str, str]) -> None:
    app = await a_platform()
    await app.vault.set(secret, SecretValue("theirs"), "text", tags)
    await app.vault.delete(secret)
    await ask(app, Asked())
    await later(app, timedelta(minutes=5))
    assert app.vault.kept[secret].deleted
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["actor"]) == ("NotManaged", "the platform")
    assert f"there is a deleted secret {secret.lower()} that is not managed by mergekey for alpha" in str(
        letter.properties["message"]
    )


@pytest.mark.parametrize("marker", OTHERS, ids=NAMES)
async def test_a_namespace_of_somebody_else(marker: Marker | None) -> None:
    app = await _a_request()
    assert app.cluster is not None
    await app.cluster.apply(_namespace(marker))
    await _refused(app, PROVISION_WORKSPACES)
    app.repository.commit({path_of("alpha"): None})
    await _refused(app, PROVISION_WORKSPACES)


def _namespace(marker: Marker | None) -> Manifest:
    annotations = {} if marker is None else marker_annotations(marker)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team-alpha", "annotations": annotations},
    }


async def test_a_namespace_of_somebody_else_is_no_trouble_for_a_team_without_gpus() -> None:
    app = await a_team()
    assert app.cluster is not None
    await app.cluster.apply(_namespace(None))
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert app.calls.writes() == []


async def _ask_for_no_workspace(app: FakeApp) -> None:
    await ask(app, Asked())


@pytest.mark.parametrize("leave", [withdraw, _ask_for_no_workspace], ids=["withdrawn", "taken out"])
async def test_a_workspace_of_somebody_else_keeps_the_namespace_alive_and_no_gpu_of_ours(
    leave: Callable[[FakeApp], Awaitable[object]],
) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    assert app.cluster is not None
    theirs = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "theirs", "namespace": "team-alpha"},
    }
    app.cluster.state.objects.pop(("team-alpha", "ResourceQuota", "workspaces"))
    await app.cluster.apply(theirs)
    await leave(app)
    await later(app, app.timeouts.workspace_grace + timedelta(minutes=30))
    assert app.cluster.names("team-alpha", "Workspace") == ["theirs"]
    assert app.cluster.names("team-alpha", "HTTPRoute") == []
    told = {(each.properties["stage"], each.properties["reason"]) for each in app.bus.dead_letters()}
    assert told == {("provision-workspaces", "NotManaged")}


async def _run_twice(app: FakeApp) -> None:
    """A workspace that is replaced has to go before its route counts."""
    for _ in range(2):
        await run(app, PROVISION_WORKSPACES)
        app.clock.advance(timedelta(minutes=2))


#: What stands in a team's namespace.
KINDS = ["Workspace", "HTTPRoute", "NetworkPolicy", "ResourceQuota"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "asked",
    [Asked(dedicated={"phi-4": GPU}), Asked(dedicated={"phi-4": LARGER_GPU})],
    ids=["again", "changed"],
)
async def test_an_object_of_somebody_else_in_the_teams_namespace(kind: str, asked: Asked) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    assert app.cluster is not None
    [(key, kept)] = [(key, kept) for key, kept in app.cluster.state.objects.items() if key[1] == kind]
    kept.manifest = {
        **kept.manifest,
        "metadata": {"name": key[2], "namespace": "team-alpha", "labels": {"made-by": "hand"}},
    }
    theirs, namespace = deepcopy(kept), app.cluster.state.namespaces["team-alpha"]
    # so that everything is looked at
    namespace.manifest = namespace_manifest(Marker(REPOSITORY, "alpha", path_of("alpha"), "0" * 40))
    app.repository.commit({path_of("alpha"): asked.text()})
    with pytest.raises(NotManaged, match="not managed by mergekey") as refused:
        await _run_twice(app)
    assert refused.value.actor == "the platform"
    assert app.cluster.state.objects[key].manifest == theirs.manifest
    assert app.cluster.state.objects[key].deleted is None


@pytest.mark.parametrize(
    "asked",
    [Asked(), Asked(readers=OTHER_READERS), Asked(readers=None), None],
    ids=["same", "others", "nobody", "gone"],
)
async def test_a_role_that_somebody_else_has_given_is_kept(asked: Asked | None) -> None:
    app = await a_team()
    theirs = {
        (secret, THEIR_GROUP) for secret in ("alpha-primary-key", "alpha-secondary-key", "alpha-endpoint")
    }
    app.roles.by_others |= theirs
    if asked is None:
        await withdraw(app)
        app.clock.advance(app.timeouts.grace)
        await run(app, PROVISION_GATEWAY)
    else:
        await push(app, {path_of("alpha"): asked.text()})
    await start_sweep(app, "a person")
    await drain(app)
    assert app.roles.by_others == theirs
    assert not [write for write in app.calls.writes("roles") if THEIR_GROUP in write]


async def test_a_backend_of_somebody_else_that_is_not_asked_for_is_kept() -> None:
    app = await a_team()
    theirs = ActualBackend("team-alpha--theirs", '"x"', "https://elsewhere/v1", None)
    app.gateway.state.backends[theirs.name] = theirs
    await ask(app, Asked(tokens=7_000))
    await withdraw(app)
    app.clock.advance(app.timeouts.grace)
    await run(app, PROVISION_GATEWAY)
    assert "team-alpha" not in app.gateway.state.products
    assert app.gateway.state.backends[theirs.name] == theirs


async def test_a_link_of_somebody_elses_product_is_told_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team()
    app.gateway.state.products["theirs"] = Product("theirs", '"x"', "Theirs", published=True, marker=None)
    app.gateway.state.links.add(("theirs", "ai"))
    with caplog.at_level(logging.WARNING, "mergekey"):
        await start_sweep(app, "a person")
        await drain(app)
    assert "theirs" in caplog.text
    assert ("theirs", "ai") in app.gateway.state.links
    assert app.calls.writes() == []


@pytest.mark.parametrize(
    "marker", [None, Marker(REPOSITORY + 1, CATALOG_TEAM, "x", "0" * 40, "f" * 64)], ids=NAMES[:2]
)
async def test_an_api_of_somebody_else(marker: Marker | None) -> None:
    app = await a_platform()
    app.gateway.state.apis["ai"] = Api('"x"', "", marker)
    await _refused(app, PROVISION_CATALOG, CATALOG_TEAM)


async def test_a_shared_backend_of_somebody_else() -> None:
    app = await a_platform()
    app.gateway.state.backends["shared--gpt-4-1"] = ActualBackend(
        "shared--gpt-4-1", '"x"', "https://elsewhere/v1", None
    )
    app.gateway.state.apis["ai"] = replace(app.gateway.state.apis["ai"], marker=_unfinished(app))
    await _refused(app, PROVISION_CATALOG, CATALOG_TEAM)


def _unfinished(app: FakeApp) -> Marker:
    marker = app.gateway.state.apis["ai"].marker
    assert marker is not None
    return marker.unfinished()


async def test_a_subscription_that_somebody_made_on_our_product_is_reported_and_kept() -> None:
    app = await a_team()
    await app.gateway.put_subscription("handmade", "team-alpha", "for a demo", None)
    await withdraw(app)
    app.clock.advance(app.timeouts.grace)
    app.calls.forget()
    with pytest.raises(NotManaged, match="handmade"):
        await run(app, PROVISION_GATEWAY)
    assert app.calls.writes() == []
    assert "team-alpha" in app.gateway.state.products


async def test_other_teams_go_on_while_one_is_refused() -> None:
    app = await _a_request()
    app.gateway.state.products["team-alpha"] = Product(
        "team-alpha", '"x"', "Alpha", published=True, marker=None
    )
    await _refused(app, PROVISION_GATEWAY)
    await run(app, PROVISION_GATEWAY, "zulu")
    assert app.gateway.state.products["team-zulu"].published


async def test_a_role_that_a_person_gave_on_a_secret_in_another_spelling_counts() -> None:
    """Azure takes the ids of resources in any case."""
    app = await a_team()
    app.roles.by_others = {(secret.upper(), group) for secret, group in app.roles.assigned}
    app.roles.assigned.clear()
    message = keys_message(a_change(app).model_copy(update={"cause": "sweep"}))
    await WORK[DELIVER_KEYS](app, an_event(app, message))
    assert app.roles.assigned == set()
    assert app.calls.names("roles") == ["readers"]


async def test_a_sweep_finds_roles_that_a_person_gave_in_another_spelling() -> None:
    app = await a_team(Asked(playground=True))
    await later(app, timedelta(minutes=5))
    assert app.project_roles is not None
    for roles in (app.roles, app.project_roles):
        roles.by_others = {(name.upper(), group) for name, group in roles.assigned}
        roles.assigned.clear()
    app.calls.forget()
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.calls.writes() == []
