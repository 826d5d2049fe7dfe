"""Keys as bearer tokens: the second API, the platform's own key, and the mirrors of subscriptions."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from shared import names
from shared.api.health_checks import check_everything
from shared.marker import Marker
from shared.messaging.routes import PROVISION_CATALOG
from shared.names import API, BEARER_API, CATALOG_TEAM, PROBE
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Api
from tests.fakes.app import OTHER_READERS, REPOSITORY, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call, nothing
from tests.stages.road import ask, later, push, run, shown, sweep, withdraw

OWN = names.subscription("alpha")
MIRROR = names.mirror(OWN)
DAY, QUARTER = timedelta(days=1), timedelta(minutes=15)


def offering(way: str) -> str:
    """An empty way leaves the key out."""
    said = f"bearerKeys: {way}\n" if way else ""
    return catalog_text().replace("bearerKeys: false\n", said)


async def platform_with(way: str) -> FakeApp:
    app = FakeApp()
    app.repository.commit({DEFAULT_CATALOG_PATH: offering(way)})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    app.calls.forget()
    return app


async def team_with(way: str) -> FakeApp:
    app = await platform_with(way)
    await ask(app, Asked())
    app.calls.forget()
    return app


def is_mirrored(app: FakeApp, own: str = OWN) -> bool:
    """Whether the mirror is there, alive, and has the keys of its subscription and no others."""
    state = app.gateway.state
    found, keys = state.subscriptions.get(names.mirror(own)), state.keys.get(names.mirror(own))
    product = state.subscriptions[own].product
    is_alive = found is not None and (found.state, found.product) == ("active", product)
    return is_alive and keys == [f"Bearer {key}" for key in state.keys[own]]


def open_keys(app: FakeApp, team: str = "alpha") -> list[str]:
    """The subscriptions of the team whose keys work."""
    found, product = app.gateway.state.subscriptions.values(), names.product(team)
    return sorted(each.name for each in found if (each.product, each.state) == (product, "active"))


def at_gateway(app: FakeApp) -> tuple[int, int, int]:
    """Calls of API Management: reads, writes, and deletions, which are told apart by their names."""
    calls = Counter(
        "delete" if call.name.startswith(("delete", "unlink")) else "write" if call.writes else "read"
        for call in app.calls.made
        if call.system == "gateway"
    )
    return calls["read"], calls["write"], calls["delete"]


@pytest.mark.parametrize(("way", "writes"), [("native", 6), ("mirrored", 7), ("false", 5)])
async def test_a_new_team_costs_a_link_more_and_a_mirror_where_it_has_one(way: str, writes: int) -> None:
    app = await platform_with(way)
    await ask(app, Asked())
    assert at_gateway(app)[1:] == (writes, 1)
    linked = {api for product, api in app.gateway.state.links if product == names.product("alpha")}
    assert linked == ({API} if way == "false" else {API, BEARER_API})
    assert is_mirrored(app) == (way == "mirrored")
    app.calls.forget()
    await sweep(app)
    assert at_gateway(app)[1:] == (0, 0)


@pytest.mark.parametrize(("way", "reads"), [("native", 2), ("mirrored", 3)])
async def test_a_push_that_changes_a_limit_costs_one_read_of_a_mirror(way: str, reads: int) -> None:
    app = await team_with(way)
    await later(app, timedelta(minutes=1))
    app.calls.forget()
    await ask(app, Asked(tokens=7_000))
    assert at_gateway(app)[1:] == (2, 0)
    found = Counter(call.name for call in app.calls.made if call.system == "gateway" and not call.writes)
    assert found["subscription"] == reads - 1
    assert found["keys"] == 0


@pytest.mark.parametrize("way", ["native", "mirrored", "false"])
async def test_the_platform_has_the_second_api_that_its_catalogue_wants(way: str) -> None:
    app = await platform_with(way)
    state = app.gateway.state
    assert (BEARER_API in state.apis) == (BEARER_API in state.api_policies) == (way != "false")
    assert (BEARER_API in state.takes_bearer) == (way == "native")
    assert ((PROBE, BEARER_API) in state.links) == (way != "false")
    assert (PROBE, API) not in state.links
    assert (names.mirror(PROBE) in state.subscriptions) == (way == "mirrored")
    assert [(await check_everything(app)).healthy] == [True]


async def test_a_new_catalogue_changes_the_way_of_all_teams() -> None:
    app = await team_with("native")
    for way, is_there in (("mirrored", True), ("native", False), ("mirrored", True), ("false", False)):
        await push(app, {DEFAULT_CATALOG_PATH: offering(way)})
        await sweep(app)
        assert (is_mirrored(app), MIRROR in app.gateway.state.subscriptions) == (is_there, is_there)
        app.calls.forget()
        await sweep(app)
        assert at_gateway(app)[1:] == (0, 0)
    assert BEARER_API not in app.gateway.state.apis
    assert PROBE not in app.gateway.state.products
    assert open_keys(app) == [OWN]


async def test_with_tokens_of_entra_there_is_no_second_api() -> None:
    app = await team_with("native")
    tokens = "entraTokens: {tenant: 5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10, audience: api://mergekey}\n"
    await push(app, {DEFAULT_CATALOG_PATH: tokens + offering("")})
    assert list(app.gateway.state.apis) == [API]


async def test_a_withdrawal_suspends_the_mirror_before_anything_else() -> None:
    app = await team_with("mirrored")
    await ask(app, Asked(team="zulu"))
    app.calls.forget()
    await withdraw(app)
    first = [call for call in app.calls.made if call.system == "gateway" and call.writes][:2]
    assert {str(call) for call in first} == {f"suspend_subscription {OWN}", f"suspend_subscription {MIRROR}"}
    assert open_keys(app) == []
    assert open_keys(app, "zulu") == [names.subscription("zulu"), names.mirror(names.subscription("zulu"))]
    await later(app, timedelta(minutes=1))
    app.clock.advance(app.timeouts.grace)
    await sweep(app)
    assert not {OWN, MIRROR} & app.gateway.state.subscriptions.keys()
    assert names.product("alpha") not in app.gateway.state.products


async def test_a_mirror_that_an_earlier_version_left_alive_dies_with_the_next_sweep() -> None:
    app = await team_with("mirrored")
    await ask(app, Asked(team="zulu"))
    state = app.gateway.state
    left = state.subscriptions[MIRROR]
    await withdraw(app)
    state.subscriptions[MIRROR] = left
    await sweep(app)
    assert open_keys(app) == []
    # And when product and subscription are gone, too.
    del state.products[names.product("alpha")], state.subscriptions[OWN], state.keys[OWN]
    state.subscriptions[MIRROR] = left
    await sweep(app)
    assert open_keys(app) == []
    await sweep(app)
    assert MIRROR not in state.subscriptions


async def test_a_team_that_comes_back_has_its_bearer_keys_again() -> None:
    app = await team_with("mirrored")
    await withdraw(app)
    await ask(app, Asked())
    assert is_mirrored(app)


async def test_a_mirror_that_slept_goes_when_its_team_comes_back_without_one() -> None:
    app = await team_with("mirrored")
    await withdraw(app)
    await push(app, {DEFAULT_CATALOG_PATH: offering("native")})
    await ask(app, Asked())
    assert MIRROR not in app.gateway.state.subscriptions
    assert open_keys(app) == [OWN]


async def test_a_key_that_changes_hands_takes_its_bearer_key_along() -> None:
    """The mirror has the new key before the vault does, and the old one never again."""
    app = await team_with("mirrored")
    old = list(app.gateway.state.keys[MIRROR])
    seen: list[bool] = []

    async def look(call: Call) -> None:
        if call.name == "set" and call.system == "vault":
            seen.append(is_mirrored(app))

    app.calls.before = look
    await ask(app, Asked(readers=OTHER_READERS))
    await later(app, DAY + timedelta(minutes=1))
    app.calls.before = nothing
    assert seen
    assert all(seen)
    assert is_mirrored(app)
    assert not set(old) & set(app.gateway.state.keys[MIRROR])


@pytest.mark.parametrize("edit", ["deleted", "suspended", "other keys", "moved"])
async def test_a_deep_sweep_heals_a_mirror(edit: str) -> None:
    app = await team_with("mirrored")
    state = app.gateway.state
    found = state.subscriptions[MIRROR]
    if edit == "deleted":
        del state.subscriptions[MIRROR], state.keys[MIRROR]
    elif edit == "suspended":
        await app.gateway.suspend_subscription(MIRROR, found.etag)
    elif edit == "other keys":
        state.keys[MIRROR] = ["Bearer mine", "Bearer yours"]
    else:
        await app.gateway.regenerate_key(OWN, 0)
    await sweep(app, deep=True)
    assert is_mirrored(app)


async def test_two_hosts_that_renew_a_key_leave_the_later_one_in_the_mirror() -> None:
    app = await team_with("mirrored")

    async def overtake(call: Call) -> None:
        if call.name == "put_keys":
            app.calls.before = nothing
            await app.gateway.regenerate_key(OWN, 1)

    app.calls.before = overtake
    await ask(app, Asked(readers=OTHER_READERS))
    assert is_mirrored(app)


async def test_a_mirror_of_others_is_left_alone_and_told() -> None:
    app = await platform_with("mirrored")
    await app.gateway.create_product("theirs", "Theirs", Marker(1, "theirs", "", ""))
    await app.gateway.put_subscription(MIRROR, "theirs", "Theirs", None)
    await ask(app, Asked())
    assert app.gateway.state.subscriptions[MIRROR].display_name == "Theirs"
    assert "NotManaged" in shown(app)["keys"]


async def test_where_the_field_is_ignored_the_catalogue_says_so_and_all_else_works() -> None:
    app = FakeApp()
    app.gateway.ignores_bearer = True
    await push(app, {DEFAULT_CATALOG_PATH: offering(""), path_of("alpha"): Asked().text()})
    await sweep(app)
    assert "BearerKeysIgnored" in shown(app, CATALOG_TEAM)["catalog"]
    assert open_keys(app) == [OWN]
    assert (names.product("alpha"), API) in app.gateway.state.links
    found = {probe.system: probe.reason for probe in (await check_everything(app)).probes}
    assert found["bearer keys"] == "BearerKeysRefused"
    await push(app, {DEFAULT_CATALOG_PATH: offering("mirrored")})
    await sweep(app)
    assert is_mirrored(app)
    assert (await check_everything(app)).healthy


async def test_deep_health_believes_the_call_and_not_the_contract() -> None:
    app = await platform_with("native")
    app.gateway_calls.works = False
    found = {probe.system: probe.reason for probe in (await check_everything(app)).probes}
    assert BEARER_API in app.gateway.state.takes_bearer
    assert found["bearer keys"] == "BearerKeysRefused"


async def test_without_its_key_the_platform_has_not_seen_bearer_keys() -> None:
    app = await platform_with("native")
    await app.gateway.suspend_subscription(PROBE, app.gateway.state.subscriptions[PROBE].etag)
    found = {probe.system: probe.reason for probe in (await check_everything(app)).probes}
    assert found["bearer keys"] == "BearerKeysUnproven"
    await sweep(app)
    assert (await check_everything(app)).healthy


async def test_an_api_of_others_at_the_name_takes_nothing_from_the_unified_one() -> None:
    app = FakeApp()
    app.gateway.state.apis[BEARER_API] = Api('"1"', "theirs", None)
    await push(app, {DEFAULT_CATALOG_PATH: offering(""), path_of("alpha"): Asked().text()})
    assert "NotManaged" in shown(app, CATALOG_TEAM)["catalog"]
    assert app.gateway.state.apis[BEARER_API].operations == "theirs"
    assert {api for _, api in app.gateway.state.links} == {API}
    assert open_keys(app) == [OWN]


async def test_an_upgrade_adds_the_second_api_and_links_teams_in_portions() -> None:
    """What an earlier version left has no second API: nothing else of it is written."""
    app = await platform_with("native")
    teams = [f"team{letter}" for letter in "abcde"]
    await push(app, {path_of(team): Asked(team=team).text() for team in teams})
    await later(app, timedelta(minutes=1))
    _forget_bearer(app)
    app.sweep_upgrades = 2
    counted = []
    for _ in range(5):
        app.calls.forget()
        app.clock.advance(QUARTER)
        await sweep(app)
        writes = (call for call in app.calls.made if call.system == "gateway" and call.writes)
        counted.append(Counter(call.name for call in writes))
    second = {product for product, api in app.gateway.state.links if api == BEARER_API} - {PROBE}
    assert second == {names.product(team) for team in teams}
    assert [each["link_product"] for each in counted] == [1, 2, 2, 1, 0]
    assert [sum(each.values()) for each in counted[1:]] == [2, 2, 1, 0]


def _forget_bearer(app: FakeApp) -> None:
    state = app.gateway.state
    for name, table in ((BEARER_API, "apis"), (BEARER_API, "api_policies")):
        getattr(state, table).pop(name, None)
    for table in ("products", "policies", "subscriptions", "keys"):
        getattr(state, table).pop(PROBE, None)
    state.takes_bearer.clear()
    state.links = {link for link in state.links if link[1] != BEARER_API}


async def test_a_team_is_linked_by_a_push_when_the_second_api_came_before_it() -> None:
    app = await team_with("")
    assert {api for product, api in app.gateway.state.links if product != PROBE} == {API, BEARER_API}
    assert app.gateway.state.subscriptions[PROBE].display_name == f"mergekey/{REPOSITORY}/{CATALOG_TEAM}"
