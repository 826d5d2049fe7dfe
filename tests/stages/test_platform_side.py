"""What the catalogue makes on the platform's side: pools, secrets, the gateway's own backends, shared GPU
workspaces.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from shared.catalog.catalog import Breaker
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Done
from shared.messaging.routes import PROVISION_CATALOG, PROVISION_GATEWAY
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.backends import PoolMember
from shared.stages.sweep import run_sweep
from shared.stages.workspace_starts import SECRET_COMES, SECRET_WAIT
from tests.fakes.app import GPU, PLATFORM_VAULT_URL, Asked, FakeApp, an_event, catalog_text, path_of
from tests.stages.road import a_platform, a_team, arrive, drain, later, push, run, world

HOURS = timedelta(hours=2)
POOL = """\
  - name: claude
    provider: openai
    circuitBreaker: {failures: 5, interval: 60, trip: 30}
    pool:
      - {name: one, endpoint: https://api.anthropic.com/v1, servedName: claude-4, weight: 90, credential: \
anthropic}
      - {name: two, endpoint: https://eu.example.com/v1, servedName: claude-4, weight: 10}
"""
SHARED = (
    "  - {name: llama, provider: kaito, preset: llama-3.1-8b-instruct, accessSecret: hugging-face, shared: "
    f"{{instanceType: {GPU}}}}}\n"
)
CACHE = "semanticCache: {embeddings: text-embedding-3-large, score: 0.05, seconds: 600}\n"


async def offer(app: FakeApp, text: str) -> FakeApp:
    await push(app, {DEFAULT_CATALOG_PATH: text})
    return app


async def _sweep(app: FakeApp) -> None:
    await run_sweep(app, an_event(app, Sweep(why="timer"), f"sweep/{app.clock.now()}"))
    await drain(app)


def cached() -> str:
    """gpt-4.1 with kept answers."""
    return CACHE + catalog_text().replace(
        "maxTokensPerMinute: 100000", "maxTokensPerMinute: 100000\n    cached: true"
    )


async def test_a_pool_is_made_of_members_with_breakers_and_a_secret_of_the_platforms_vault() -> None:
    app = await offer(await a_platform(), catalog_text() + POOL)
    state = app.gateway.state
    assert {name: value.url for name, value in state.named_values.items()} == {
        "credential--anthropic": f"{PLATFORM_VAULT_URL}/secrets/anthropic"
    }
    assert state.credentials == {"shared--claude--one": "credential--anthropic"}
    assert state.backends["shared--claude--one"].breaker == Breaker(5, 60, 30)
    assert state.backends["shared--claude"].members == (
        PoolMember("shared--claude--one", 90, 1),
        PoolMember("shared--claude--two", 10, 1),
    )


async def test_a_model_that_leaves_takes_its_backends_and_its_secret_with_it() -> None:
    app = await a_platform()
    before = world(app)
    await offer(app, catalog_text() + POOL)
    assert world(app) != before
    await offer(app, catalog_text())
    assert world(app) == before


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("shared--claude", {"members": (PoolMember("shared--claude--two", 100, 1),)}),
        ("shared--claude--one", {"breaker": None}),
        ("shared--claude--two", {"url": "https://elsewhere.example/v1"}),
    ],
    ids=["pool", "breaker", "url"],
)
async def test_a_sweep_mends_what_somebody_edited(name: str, edit: dict[str, object]) -> None:
    app = await offer(await a_platform(), catalog_text() + POOL)
    before = world(app)
    backends = app.gateway.state.backends
    backends[name] = replace(backends[name], **edit)  # type: ignore[arg-type]
    await _sweep(app)
    assert world(app) == before


async def test_a_sweep_mends_a_secret_that_points_elsewhere() -> None:
    app = await offer(await a_platform(), catalog_text() + POOL)
    values = app.gateway.state.named_values
    values["credential--anthropic"] = replace(
        values["credential--anthropic"], url="https://elsewhere.vault.azure.net/secrets/x"
    )
    await _sweep(app)
    assert values["credential--anthropic"].url == f"{PLATFORM_VAULT_URL}/secrets/anthropic"


async def test_a_shared_model_gets_a_workspace_of_the_platform_and_a_backend() -> None:
    """Its access secret is waited for, which no ExternalSecret makes here."""
    app = await offer(await a_platform(), catalog_text() + SHARED)
    assert app.cluster is not None
    workspace = "team-catalogue", "Workspace", "llama"
    assert workspace not in app.cluster.state.objects
    await later(app, SECRET_COMES + SECRET_WAIT)
    manifest = app.cluster.state.objects[workspace].manifest
    assert manifest["resource"]["instanceType"] == GPU
    assert manifest["inference"]["preset"] == {
        "name": "llama-3.1-8b-instruct",
        "presetOptions": {"modelAccessSecret": "hugging-face"},
    }
    await later(app, HOURS)
    assert ("team-catalogue", "HTTPRoute", "llama") in app.cluster.state.objects
    assert (
        app.gateway.state.backends["shared--llama"].url
        == "https://models.internal.contoso.com/team-catalogue/llama/v1"
    )
    assert 'value="llama-3.1-8b-instruct"' in app.gateway.state.api_policies["ai"].text


async def test_a_shared_workspace_goes_with_its_model_and_returns_when_it_was_deleted() -> None:
    app = await offer(await a_platform(), catalog_text() + SHARED)
    await later(app, HOURS)
    assert app.cluster is not None
    del app.cluster.state.objects["team-catalogue", "Workspace", "llama"]
    await _sweep(app)
    assert ("team-catalogue", "Workspace", "llama") in app.cluster.state.objects
    await offer(app, catalog_text())
    await later(app, HOURS)
    assert "team-catalogue" not in app.cluster.state.namespaces


async def test_a_backend_that_policies_of_teams_still_name_goes_when_they_do_not() -> None:
    app = await a_team(Asked())
    await offer(app, cached())
    await _sweep(app)
    assert "llm-semantic-cache-lookup" in app.gateway.state.policies["team-alpha"].text
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text()})
    outcome = await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert isinstance(outcome, Done)
    assert outcome.note == "models in place; shared--semantic-cache will go when nothing names it any more"
    assert "shared--semantic-cache" in app.gateway.state.backends
    await run(app, PROVISION_GATEWAY)
    await _sweep(app)
    assert "shared--semantic-cache" not in app.gateway.state.backends


async def test_a_catalogue_that_the_platform_cannot_serve_changes_nothing() -> None:
    app = await a_platform(gpus=False)
    app.repository.commit({path_of("alpha"): Asked().text()})
    await arrive(app, None)
    before = world(app)
    await offer(app, catalog_text() + SHARED)
    assert world(app) == before
    assert "NoCluster" in str(app.reports.verdicts[-1])


async def test_requests_per_minute_are_limited_for_the_team() -> None:
    app = await a_platform()
    await push(app, {path_of("alpha"): Asked().text() + "limits: {requestsPerMinute: 600}\n"})
    inbound = ElementTree.fromstring(app.gateway.state.policies["team-alpha"].text).find("inbound")
    assert inbound is not None
    [limit] = inbound.findall("rate-limit-by-key")
    assert (limit.get("calls"), limit.get("renewal-period"), limit.get("counter-key")) == (
        "600",
        "60",
        "alpha",
    )
