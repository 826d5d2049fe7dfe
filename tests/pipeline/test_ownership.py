"""What does not carry our marker for that team is somebody else's: it stays as it is, and the platform is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.actual import ActualBackend, Api, Product, Subscription
from shared.domain.marker import Marker
from shared.domain.secret import SecretValue
from shared.domain.workspace import Manifest, marker_annotations
from shared.errors import NotManaged
from shared.messages import CATALOG_TEAM
from shared.stages import DELIVER_KEYS, PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_WORKSPACES, Stage
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, path_of
from tests.pipeline.road import a_platform, a_team, run, withdraw, world

OTHERS: list[Marker | None] = [
    None,
    Marker(REPOSITORY + 1, "alpha", path_of("alpha"), "0" * 40, "f" * 64),
    Marker(REPOSITORY, "bravo", path_of("bravo"), "0" * 40, "f" * 64),
]
NAMES = ["nobody's", "another repository's", "another team's"]


async def _a_request() -> FakeApp:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text(), path_of("zulu"): Asked(team="zulu").text()})
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
    app = await _a_request()
    app.gateway.state.products["team-alpha"] = Product("team-alpha", '"x"', "Alpha", published=True, marker=marker)
    await _refused(app, PROVISION_GATEWAY)
    app.repository.commit({path_of("alpha"): None})
    await _refused(app, PROVISION_GATEWAY)


@pytest.mark.parametrize("marker", OTHERS, ids=NAMES)
async def test_a_backend_of_somebody_else(marker: Marker | None) -> None:
    app = await _a_request()
    app.gateway.state.backends["team-alpha--phi-4"] = ActualBackend("team-alpha--phi-4", '"x"', "https://elsewhere/v1", marker)
    await _refused(app, PROVISION_GATEWAY)


@pytest.mark.parametrize("name", ["", "Team Alpha", f"mergekey/{REPOSITORY}/bravo", f"mergekey/{REPOSITORY + 1}/alpha"])
async def test_a_subscription_of_somebody_else(name: str) -> None:
    app = await _a_request()
    await run(app, PROVISION_GATEWAY)
    app.gateway.state.subscriptions["team-alpha"] = Subscription("team-alpha", '"x"', name, "team-alpha", "", "active")
    app.gateway.state.keys["team-alpha"] = ["one", "two"]
    await _refused(app, DELIVER_KEYS)


async def test_a_subscription_of_somebody_else_is_not_suspended_by_a_withdrawal() -> None:
    app = await _a_request()
    app.gateway.state.subscriptions["team-alpha"] = Subscription("team-alpha", '"x"', "Alpha", "team-alpha", "", "active")
    app.repository.commit({path_of("alpha"): None})
    await run(app, PROVISION_GATEWAY)
    assert app.calls.writes() == []


@pytest.mark.parametrize("secret", ["alpha-primary-key", "alpha-secondary-key", "alpha-endpoint"])
@pytest.mark.parametrize("tags", [{}, {"repository": str(REPOSITORY), "team": "bravo"}, {"repository": "1", "team": "alpha"}], ids=NAMES)
async def test_a_secret_of_somebody_else(secret: str, tags: dict[str, str]) -> None:
    app = await _a_request()
    await run(app, PROVISION_GATEWAY)
    await app.vault.set(secret, SecretValue("theirs"), "text", tags)
    await _refused(app, DELIVER_KEYS)
    app.repository.commit({path_of("alpha"): None})
    await _refused(app, DELIVER_KEYS)
    assert app.vault.value(secret) == "theirs"


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
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-alpha", "annotations": annotations}}


async def test_a_namespace_of_somebody_else_is_no_trouble_for_a_team_without_gpus() -> None:
    app = await a_team()
    assert app.cluster is not None
    await app.cluster.apply(_namespace(None))
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert app.calls.writes() == []


async def test_a_workspace_of_somebody_else_keeps_the_namespace_alive() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    assert app.cluster is not None
    theirs = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "theirs", "namespace": "team-alpha"}}
    app.cluster.state.objects.pop(("team-alpha", "ResourceQuota", "workspaces"))
    await app.cluster.apply(theirs)
    await withdraw(app)
    app.clock.advance(app.limits.workspace_grace)
    with pytest.raises(NotManaged, match="theirs"):
        await run(app, PROVISION_WORKSPACES)
    assert "theirs" in app.cluster.names("team-alpha", "Workspace")


@pytest.mark.parametrize("marker", [None, Marker(REPOSITORY + 1, CATALOG_TEAM, "x", "0" * 40, "f" * 64)], ids=NAMES[:2])
async def test_an_api_of_somebody_else(marker: Marker | None) -> None:
    app = await a_platform()
    app.gateway.state.apis["ai"] = Api('"x"', "", marker)
    await _refused(app, PROVISION_CATALOG, CATALOG_TEAM)


async def test_a_shared_backend_of_somebody_else() -> None:
    app = await a_platform()
    app.gateway.state.backends["shared--gpt-4-1"] = ActualBackend("shared--gpt-4-1", '"x"', "https://elsewhere/v1", None)
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
    app.clock.advance(app.limits.grace)
    app.calls.forget()
    with pytest.raises(NotManaged, match="handmade"):
        await run(app, PROVISION_GATEWAY)
    assert app.calls.writes() == []
    assert "team-alpha" in app.gateway.state.products


async def test_other_teams_go_on_while_one_is_refused() -> None:
    app = await _a_request()
    app.gateway.state.products["team-alpha"] = Product("team-alpha", '"x"', "Alpha", published=True, marker=None)
    await _refused(app, PROVISION_GATEWAY)
    await run(app, PROVISION_GATEWAY, "zulu")
    assert app.gateway.state.products["team-zulu"].published
