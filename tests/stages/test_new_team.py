"""The road of a request that is granted: what is written, in which order, and how little."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.branch import review
from shared.errors import Unavailable
from shared.messaging.outcomes import Done, Waiting
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_WORKSPACES,
    TOPIC,
)
from shared.names import API, CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.outgoing import access_change
from shared.stages.pipeline import provision_gateway
from shared.stages.provision_gateway import API_KNOWN
from shared.stages.settlement import start_sweep
from tests.fakes.app import (
    GPU,
    OTHER_READERS,
    READERS,
    Asked,
    FakeApp,
    a_change,
    an_event,
    catalog_text,
    path_of,
)
from tests.stages.road import (
    a_platform,
    a_team,
    ask,
    drain,
    later,
    matches_the_gateway,
    push,
    run,
    shown,
    world,
)

KEYS = ["alpha-primary-key", "alpha-secondary-key"]
SECRETS = ["alpha-endpoint", *KEYS]


async def test_a_new_team_gets_its_keys_in_the_vault_and_its_group_may_read_them() -> None:
    app = await a_platform()
    assert await ask(app, Asked()) == "1 team queued"
    assert app.vault.names() == SECRETS
    assert all(matches_the_gateway(app, secret) for secret in SECRETS)
    assert app.vault.value("alpha-endpoint") == app.platform.gateway_url
    assert app.roles.assigned == {(secret, READERS) for secret in SECRETS}
    assert app.gateway.state.links == {("team-alpha", "ai")}
    assert app.gateway.state.products["team-alpha"].published
    assert shown(app)["keys"] == "success: keys in vault: alpha-primary-key, alpha-secondary-key"


async def test_a_new_team_costs_five_gateway_writes_and_one_deletion() -> None:
    app = await a_platform()
    await ask(app, Asked())
    written = [call.partition(" ")[0] for call in app.calls.writes("gateway")]
    assert sorted(written) == [
        "create_product",
        "delete_subscription",
        "link_product",
        "publish_product",
        "put_product_policy",
        "put_subscription",
    ]


async def test_stages_remember_the_request_that_the_push_was_judged_by() -> None:
    """Reading one takes most of a stage's own time."""
    app, before = await a_platform(), review.read.cache_info()
    await ask(app, Asked(display_name="In no other test"))
    after = review.read.cache_info()
    assert after.misses == before.misses + 1
    assert after.hits >= before.hits + len({DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_WORKSPACES})


async def test_no_key_works_before_its_limits_do() -> None:
    app = await a_platform()
    await ask(app, Asked())
    written = app.calls.writes("gateway")
    order = [
        written.index(f"{name} team-alpha")
        for name in ("create_product", "put_product_policy", "link_product", "publish_product")
    ]
    assert order == sorted(order)


async def test_the_administrators_subscription_is_removed_and_only_the_teams_own_is_left() -> None:
    app = await a_platform()
    await ask(app, Asked())
    assert [(found.name, found.state) for found in app.gateway.state.subscriptions.values()] == [
        ("team-alpha", "active")
    ]


async def test_keys_are_asked_for_as_soon_as_the_product_stands() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await run(app, PROVISION_GATEWAY) == Done("product and policy in place: gpt-4.1 10,000/min")
    made = [call.name for call in app.calls.made if call.writes]
    assert made.index("create_product") < made.index("send") < made.index("link_product")
    assert [envelope.session for envelope in app.bus.waiting(DELIVER_KEYS)] == ["alpha"]


@pytest.mark.parametrize("in_put_answers", [True, False])
async def test_the_keys_are_asked_for_only_when_the_answer_that_made_them_has_none(
    in_put_answers: bool,
) -> None:
    app = await a_platform()
    app.gateway.keys_in_put_answers = in_put_answers
    await ask(app, Asked())
    assert app.calls.names("gateway").count("keys") == (0 if in_put_answers else 1)
    assert all(matches_the_gateway(app, secret) for secret in KEYS)


async def test_a_message_that_changes_nothing_writes_nothing() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=20))
    before = world(app)
    app.calls.forget()
    for stage in (PROVISION_GATEWAY, PROVISION_WORKSPACES, DELIVER_KEYS):
        assert isinstance(await run(app, stage), Done)
    assert app.calls.writes() == []
    assert world(app) == before


async def test_a_sweep_that_finds_everything_in_place_says_nothing() -> None:
    app = await a_team()
    change = a_change(app).model_copy(update={"cause": "sweep"})
    assert await provision_gateway(app, an_event(app, change)) == Done(None, wrote=False)


async def test_a_changed_limit_costs_two_writes() -> None:
    app = await a_team()
    await ask(app, Asked(tokens=5_000))
    assert app.calls.writes() == ["put_product_policy team-alpha", "publish_product team-alpha"]
    assert "5000" in app.gateway.state.policies["team-alpha"].text


async def test_a_new_owner_of_the_same_access_changes_nothing_out_there() -> None:
    app = await a_team()
    await push(app, {path_of("alpha"): Asked().text().replace("lead@", "successor@")})
    assert app.calls.writes() == []


async def test_a_dedicated_model_has_its_backend_before_the_policy_that_names_it() -> None:
    app = await a_platform()
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    written = app.calls.writes("gateway")
    assert written.index("put_backend team-alpha--phi-4") < written.index("put_product_policy team-alpha")
    assert (
        app.gateway.state.backends["team-alpha--phi-4"].url
        == "https://models.internal.contoso.com/team-alpha/phi-4/v1"
    )


async def test_the_backend_of_a_removed_model_goes_after_the_policy_that_named_it() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await ask(app, Asked())
    assert app.calls.writes("gateway") == [
        "put_product_policy team-alpha",
        "delete_backend team-alpha--phi-4",
        "publish_product team-alpha",
    ]


async def test_a_team_that_moves_to_another_folder_keeps_its_keys() -> None:
    app = await a_team()
    keys = [app.vault.value(secret) for secret in KEYS]
    text = app.repository.text(path_of("alpha"))
    await push(app, {path_of("alpha"): None, path_of("team-alpha"): text})
    assert [app.vault.value(secret) for secret in KEYS] == keys
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert (marker.path, marker.withdrawn) == (path_of("team-alpha"), None)
    assert app.calls.writes() == ["publish_product team-alpha"]


async def test_another_group_gains_the_role_after_the_old_one_has_lost_it() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    written = app.calls.writes("roles")
    assert [call.startswith("revoke") for call in written] == [True] * 3 + [False] * 3
    assert app.roles.assigned == {(secret, OTHER_READERS) for secret in SECRETS}


async def test_without_a_group_the_keys_are_made_and_the_status_says_what_is_missing() -> None:
    app = await a_platform()
    await ask(app, Asked(readers=None))
    assert app.roles.assigned == set()
    assert shown(app)["keys"] == "success: keys in vault; no group may read them yet: add entraGroup"


async def test_a_team_waits_for_the_catalogue_that_is_not_provisioned_yet() -> None:
    app = FakeApp()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked().text()})
    outcome = await run(app, PROVISION_GATEWAY)
    assert outcome == Waiting(timedelta(seconds=1), "CatalogueNotProvisioned", revision=a_change(app).blob)
    assert app.calls.writes() == []


async def test_catalogue_and_team_of_one_first_push_arrive_together() -> None:
    app = FakeApp()
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked().text()})
    await later(app, timedelta(minutes=1))
    assert app.gateway.state.products["team-alpha"].published
    assert app.vault.names() == SECRETS


async def test_the_catalogue_becomes_the_unified_api_once() -> None:
    app = await a_platform()
    assert sorted(app.gateway.state.backends) == [
        "shared--gpt-4-1",
        "shared--phi-4",
        "shared--text-embedding-3-large",
    ]
    assert await run(app, PROVISION_CATALOG, CATALOG_TEAM) == Done("models in place", wrote=False)
    assert app.calls.writes() == []


async def test_a_new_model_is_served_without_importing_the_operations_again() -> None:
    app = await a_platform()
    more = (
        catalog_text()
        + "  - {name: o4, provider: foundry, endpoint: https://contoso-ai.openai.azure.com/openai/v1}\n"
    )
    app.repository.commit({DEFAULT_CATALOG_PATH: more})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert sorted(app.calls.writes()) == [
        "mark_api ai",
        "put_api_policy ai",
        "put_backend shared--o4",
        "put_fragment requested-model",
    ]


async def test_no_message_and_no_status_holds_a_key() -> None:
    app = await a_platform()
    await ask(app, Asked())
    keys = [key for both in app.gateway.state.keys.values() for key in both]
    said = (
        b"".join(envelope.body for envelope in app.bus.sent).decode()
        + str(app.reports.shown)
        + str(app.calls.made)
    )
    assert len(keys) == 2
    assert not [key for key in keys if key in said]


async def test_the_catalogues_message_is_for_its_own_stages_only() -> None:
    app = await a_platform()
    assert await run(app, PROVISION_WORKSPACES, CATALOG_TEAM) == Done(wrote=False)
    app.calls.forget()
    assert await run(app, PROVISION_GATEWAY, CATALOG_TEAM) == Done()
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await run(app, PROVISION_CATALOG) == Done()
    assert app.calls.made == []


async def test_each_stage_gets_its_own_copy_of_a_change() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    await app.bus.send([access_change(app, a_change(app), "d1", app.clock.now())])
    assert [envelope.message_id for envelope in app.bus.sent] == ["d1/alpha"]
    assert [
        len(app.bus.waiting(stage)) for stage in (PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_WORKSPACES)
    ] == [1, 1, 1]
    assert app.bus.bodies(TOPIC)[0]["team"] == "alpha"
    await drain(app)
    assert app.bus.next_due() is None


async def test_two_teams_may_call_themselves_the_same_and_one_by_the_name_of_the_other() -> None:
    app = await a_platform()
    await ask(app, Asked(team="alpha", display_name="bravo"))
    await ask(app, Asked(team="bravo", display_name="bravo"))
    shown_as = {name: product.display_name for name, product in app.gateway.state.products.items()}
    assert shown_as == {"team-alpha": "bravo (alpha)", "team-bravo": "bravo (bravo)"}
    assert not app.bus.dead_letters()


async def test_a_product_that_an_earlier_version_named_keeps_its_name_until_it_is_written() -> None:
    app = await a_team()
    products = app.gateway.state.products
    products["team-alpha"] = replace(products["team-alpha"], display_name="Team Alpha")
    await start_sweep(app, "a test")
    await drain(app)
    assert app.calls.writes("gateway") == []
    await ask(app, Asked(tokens=11_000))
    assert products["team-alpha"].display_name == "Team Alpha (alpha)"


async def _reads(app: FakeApp) -> list[str]:
    """What the gateway's stage reads of Resource Manager."""
    app.calls.forget()
    await run(app, PROVISION_GATEWAY)
    return sorted(call.name for call in app.calls.made if call.system == "gateway" and not call.writes)


async def test_of_a_product_that_is_not_there_neither_policy_nor_link_is_read() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await _reads(app) == ["api", "product", "product_subscriptions"]


async def test_that_the_api_was_finished_is_known_for_some_seconds() -> None:
    app = await a_team()
    app.clock.advance(API_KNOWN)
    assert [(await _reads(app)).count("api") for _ in range(3)] == [1, 0, 0]
    app.clock.advance(API_KNOWN)
    assert (await _reads(app)).count("api") == 1


async def test_that_the_api_is_not_finished_is_never_kept() -> None:
    app = FakeApp()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked().text()})
    assert (await _reads(app)).count("api") == 1
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert await _reads(app) == ["api", "product", "product_subscriptions"]
    assert app.gateway.state.links


async def test_a_team_that_comes_when_the_api_has_just_been_deleted_gets_the_next_one() -> None:
    app = await a_team()
    apis = dict(app.gateway.state.apis)
    app.gateway.state.apis.clear()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})
    with pytest.raises(Unavailable):
        await run(app, PROVISION_GATEWAY, "bravo")
    app.gateway.state.apis.update(apis)
    await run(app, PROVISION_GATEWAY, "bravo")
    assert ("team-bravo", API) in app.gateway.state.links
