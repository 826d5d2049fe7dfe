"""A provider's key that the gateway cannot read: it is not in the platform's vault, or the gateway lacks the
role. Nothing may look as if all were well. The service either refuses the named value, or writes it and tells
there; both are right here.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.api.health_checks import check_everything
from shared.api.teams import providers
from shared.errors import AccessDenied
from shared.messaging.routes import PROVISION_CATALOG
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import PLATFORM_VAULT_URL, FakeApp, catalog_text
from tests.stages.road import a_platform, drain, later, push, run, shown, sweep, world

CLAUDE = """\
  - name: claude
    provider: openai
    pool:
      - {name: one, endpoint: https://api.anthropic.com/v1, servedName: claude-4, weight: 90, credential: \
anthropic}
      - {name: two, endpoint: https://eu.example.com/v1, servedName: claude-4, weight: 10, credential: \
mistral}
"""
ANTHROPIC, MISTRAL = f"{PLATFORM_VAULT_URL}/secrets/anthropic", f"{PLATFORM_VAULT_URL}/secrets/mistral"
BOTH = pytest.mark.parametrize("refused", [False, True], ids=["told", "refused"])
PATIENCE = timedelta(hours=1)


async def with_claude(refused: bool = False, *missing: str) -> FakeApp:
    """A platform whose catalogue names two providers' keys; some are not in the vault."""
    app = await a_platform()
    app.gateway.refuses_unreadable = refused
    app.gateway.unreadable = dict.fromkeys(missing, "SecretNotFound")
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text() + CLAUDE})
    return app


def letters(app: FakeApp) -> list[object]:
    """The reasons of the dead letters."""
    return [each.properties["reason"] for each in app.bus.dead_letters()]


@BOTH
async def test_a_missing_key_of_a_provider_names_itself_and_the_role(refused: bool) -> None:
    app = await with_claude(refused, ANTHROPIC)
    with pytest.raises(AccessDenied) as caught:
        await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert caught.value.reason == "SecretUnreadable"
    for word in ("'anthropic'", PLATFORM_VAULT_URL, "Key Vault Secrets User", "SecretNotFound"):
        assert word in caught.value.message


@BOTH
async def test_the_status_of_the_catalogue_gets_red_when_patience_ends(refused: bool) -> None:
    app = await with_claude(refused, ANTHROPIC)
    assert not shown(app, "catalogue").get("catalog", "").startswith(("success", "failure"))
    await later(app, PATIENCE)
    assert shown(app, "catalogue")["catalog"].startswith("failure: SecretUnreadable")
    assert letters(app) == ["SecretUnreadable"]


@BOTH
async def test_a_key_that_comes_in_time_is_read_without_help(refused: bool) -> None:
    app = await with_claude(refused, ANTHROPIC)
    app.gateway.unreadable.clear()
    await later(app, PATIENCE)
    assert shown(app, "catalogue")["catalog"].startswith("success")
    assert letters(app) == []
    assert world(app) == world(await with_claude())


async def test_what_does_not_need_the_missing_key_is_in_place() -> None:
    app = await with_claude(False, ANTHROPIC)
    assert "shared--claude--two" in app.gateway.state.backends
    assert 'backend-id="shared--claude"' in app.gateway.state.api_policies["ai"].text


async def test_several_missing_keys_are_named_together() -> None:
    app = await with_claude(False, ANTHROPIC, MISTRAL)
    with pytest.raises(AccessDenied) as caught:
        await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert "'anthropic'" in caught.value.message
    assert MISTRAL in caught.value.message


async def test_a_key_that_leaves_the_vault_later_is_seen_everywhere() -> None:
    app = await with_claude()
    assert (await check_everything(app)).healthy
    assert (await providers(app)).differences == ()
    app.gateway.unreadable[ANTHROPIC] = "SecretNotFound"
    app.gateway.read_secrets()
    [unwell] = [probe for probe in (await check_everything(app)).probes if not probe.healthy]
    assert (unwell.system, unwell.reason) == ("API Management", "SecretUnreadable")
    [difference] = (await providers(app)).differences
    for text in (unwell.message or "", difference):
        assert "'anthropic'" in text
    await sweep(app)
    await later(app, PATIENCE)
    assert shown(app, "catalogue")["catalog"].startswith("failure: SecretUnreadable")


async def test_a_sweep_makes_the_gateway_read_a_key_that_came_back() -> None:
    app = await with_claude()
    app.gateway.unreadable[ANTHROPIC] = "SecretNotFound"
    app.gateway.read_secrets()
    app.gateway.unreadable.clear()
    await sweep(app)
    await drain(app)
    assert (await providers(app)).differences == ()
    assert (await check_everything(app)).healthy
