"""What both the fake and API Management do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from shared.catalog.catalog import Breaker
from shared.catalog.terms import BearerWay
from shared.errors import AccessDenied, Busy, Rejected, Unavailable
from shared.marker import RULES, Marker
from shared.names import API, BEARER_API, FRAGMENT, SAFETY_BACKEND
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.policies.product_policy import product_policy
from shared.ports import Gateway, Keys
from shared.resources.actual import Fragment, Policy, Product
from shared.resources.backends import Backend, Credential, NamedValue, PoolMember
from shared.resources.bearer import KEY_NAMES_OF, BearerKeys
from shared.resources.desired import compile_catalog
from shared.resources.subscription import ADMINISTRATOR
from shared.secret import SecretValue
from tests.contract.sides import PlatformVault
from tests.contract.targets import unique
from tests.fakes.app import REPOSITORY, Asked, FakeApp, a_catalog
from tests.policies.policy_cases import GOVERNED, asking

POLICY = (
    "<policies><inbound><base />{}</inbound><backend><base /></backend><outbound /><on-error /></policies>"
)
STALE = '"bm90IHRoaXM="'
CATALOG = compile_catalog(a_catalog(), FakeApp().platform)


def _marker(team: str, digest: str = "") -> Marker:
    return Marker(REPOSITORY, team, f"tenant-access/config/{team}/access.yaml", "c" * 40, digest)


def _policy(inbound: str = "") -> str:
    return POLICY.format(inbound)


@pytest.fixture
def team() -> str:
    return unique("t")


@pytest_asyncio.fixture(loop_scope="session")
async def product(gateway: Gateway, team: str) -> str:
    await gateway.create_product(f"team-{team}", f"Team {team}", _marker(team))
    return f"team-{team}"


async def _read(gateway: Gateway, name: str) -> Product:
    found = await gateway.product(name)
    assert found is not None
    return found


async def _remove_subscriptions(gateway: Gateway, product: str) -> None:
    for found in await gateway.product_subscriptions(product):
        await gateway.delete_subscription(found.name, found.etag)


def _fingerprints(keys: Keys) -> list[str]:
    return [key.fingerprint("x") for key in keys]


async def test_a_product_begins_unpublished_and_is_read_back_with_its_marker(
    gateway: Gateway, team: str
) -> None:
    name = f"team-{team}"
    assert await gateway.product(name) is None
    etag = await gateway.create_product(name, f"Team {team}", _marker(team))
    assert await _read(gateway, name) == Product(
        name, etag, f"Team {team}", published=False, marker=_marker(team)
    )


async def test_a_published_product_has_its_new_name_and_marker_and_another_etag(
    gateway: Gateway, team: str, product: str
) -> None:
    before = await _read(gateway, product)
    seal = Marker(REPOSITORY, team, "elsewhere", "d" * 40, "e" * 64, datetime(2026, 3, 2, 9, tzinfo=UTC))
    await gateway.publish_product(product, before.etag, f"Another {team}", seal)
    after = await _read(gateway, product)
    assert (after.display_name, after.published, after.marker) == (f"Another {team}", True, seal)
    assert after.etag != before.etag


async def test_a_product_that_changed_meanwhile_is_neither_published_nor_deleted(
    gateway: Gateway, team: str, product: str
) -> None:
    before = await _read(gateway, product)
    await gateway.publish_product(product, before.etag, f"Another {team}", _marker(team))
    for write in (
        gateway.publish_product(product, before.etag, "x", _marker(team)),
        gateway.require_subscription(product, before.etag),
        gateway.delete_product(product, before.etag),
    ):
        with pytest.raises(Busy):
            await write
    assert (await _read(gateway, product)).display_name == f"Another {team}"


async def test_a_product_that_is_marked_keeps_its_name_and_state_and_is_fenced(
    gateway: Gateway, team: str, product: str
) -> None:
    for state in (False, True):
        before, marker = await _read(gateway, product), replace(_marker(team), commit=str(int(state)) * 40)
        etag = await gateway.mark_product(product, before.etag, marker)
        assert await _read(gateway, product) == replace(before, etag=etag, marker=marker)
        assert (before.published, etag != before.etag) == (state, True)
        with pytest.raises(Busy):
            await gateway.mark_product(product, before.etag, _marker(team))
        await gateway.publish_product(product, "*", f"Team {team}", _marker(team))


async def test_what_a_policy_grants_is_read_with_it(gateway: Gateway, product: str) -> None:
    grant = """<set-variable name="mergekey-digest" value="0" /><choose><when condition="@(true)">
        <llm-token-limit counter-key="a" tokens-per-minute="70" estimate-prompt-tokens="false" />
        <set-variable name="granted-model" value="gpt-4.1" /></when></choose>"""
    await gateway.put_product_policy(product, _policy(grant), None)
    found = await gateway.product_policy(product)
    assert (found and found.grants) == {"gpt-4.1": 70}
    await gateway.put_product_policy(product, _policy(), None)
    assert (other := await gateway.product_policy(product)) is not None
    assert other.grants is None


async def test_a_product_that_was_closed_is_as_it_was_and_carries_another_etag(
    gateway: Gateway, team: str, product: str
) -> None:
    await gateway.publish_product(product, "*", f"Team {team}", _marker(team))
    before = await _read(gateway, product)
    etag = await gateway.require_subscription(product, before.etag)
    assert await _read(gateway, product) == replace(before, etag=etag)
    assert etag != before.etag


async def test_a_star_fits_every_etag(gateway: Gateway, team: str, product: str) -> None:
    await gateway.publish_product(product, "*", f"Another {team}", _marker(team))
    assert (await _read(gateway, product)).published


async def test_a_display_name_belongs_to_one_product(gateway: Gateway, team: str, product: str) -> None:
    other, shown = f"team-{unique('t')}", (await _read(gateway, product)).display_name
    with pytest.raises(Rejected, match="Product with the same name already exists"):
        await gateway.create_product(other, shown, _marker(team))
    await gateway.create_product(other, f"Other {team}", _marker(team))
    with pytest.raises(Rejected, match="Product with the same name already exists"):
        await gateway.publish_product(other, "*", shown, _marker(team))
    await gateway.publish_product(product, "*", shown, _marker(team))


async def test_what_is_not_there_cannot_be_published(gateway: Gateway, team: str) -> None:
    with pytest.raises(Unavailable) as refused:
        await gateway.publish_product(f"team-{team}", "*", "x", _marker(team))
    assert refused.value.reason == "NotFound"


async def test_a_product_is_listed_among_all(gateway: Gateway, product: str) -> None:
    assert (await _read(gateway, product)).marker in [found.marker for found in await gateway.products()]


async def test_the_administrator_gets_a_subscription_to_new_products_only(
    gateway: Gateway, team: str, product: str
) -> None:
    [stray] = await gateway.product_subscriptions(product)
    assert (stray.owner, stray.product, stray.state) == (ADMINISTRATOR, product, "active")
    await gateway.create_product(product, f"Team {team}", _marker(team))
    assert len(await gateway.product_subscriptions(product)) == 1


async def test_a_product_with_subscriptions_is_not_deleted(gateway: Gateway, product: str) -> None:
    with pytest.raises(Rejected):
        await gateway.delete_product(product, "*")
    await _remove_subscriptions(gateway, product)
    await gateway.delete_product(product, "*")
    assert await gateway.product(product) is None
    await gateway.delete_product(product, "*")


async def test_a_deleted_product_takes_its_policy_along(gateway: Gateway, team: str, product: str) -> None:
    await gateway.put_product_policy(product, _policy(), None)
    await _remove_subscriptions(gateway, product)
    await gateway.delete_product(product, "*")
    await gateway.create_product(product, f"Team {team}", _marker(team))
    assert await gateway.product_policy(product) is None


async def test_a_policy_carries_the_etag_that_was_read(gateway: Gateway, product: str) -> None:
    await gateway.put_product_policy(product, _policy(), None)
    first = await gateway.product_policy(product)
    assert first is not None
    await gateway.put_product_policy(product, _policy('<set-variable name="v" value="1" />'), first.etag)
    assert await gateway.product_policy(product) != first
    with pytest.raises(Busy):
        await gateway.put_product_policy(product, _policy(), first.etag)


async def test_a_policy_of_ours_is_known_by_its_digest_and_others_are_not(
    gateway: Gateway, team: str, product: str
) -> None:
    text = product_policy(Asked(team=team, cost_center="CC 1").read(), a_catalog())
    await gateway.put_fragment(FRAGMENT, CATALOG.fragment)
    await gateway.put_product_policy(product, text, None)
    found = await gateway.product_policy(product)
    assert found is not None
    assert (found.digest, len(found.digest)) == (digest_of(text), 64)
    await gateway.put_product_policy(product, _policy(), found.etag)
    assert replace(await _policy_of(gateway, product), etag="") == Policy("", "")


async def _policy_of(gateway: Gateway, product: str) -> Policy:
    found = await gateway.product_policy(product)
    assert found is not None
    return found


async def test_a_policy_that_changes_leaves_the_products_etag_alone(gateway: Gateway, product: str) -> None:
    before = await _read(gateway, product)
    await gateway.put_product_policy(product, _policy(), None)
    assert await _read(gateway, product) == before


@pytest.mark.parametrize(
    "policy",
    [
        _policy("<nonsense"),
        _policy('<set-backend-service backend-id="missing" />'),
        _policy('<include-fragment fragment-id="missing" />'),
    ],
)
async def test_a_policy_that_is_no_xml_or_names_what_is_not_there_is_refused(
    gateway: Gateway, product: str, policy: str
) -> None:
    with pytest.raises(Rejected):
        await gateway.put_product_policy(product, policy, None)
    assert await gateway.product_policy(product) is None


async def test_a_policy_may_name_a_backend_that_exists(gateway: Gateway, team: str, product: str) -> None:
    await gateway.put_backend(Backend(f"{product}--phi-4", "https://models/v1"), _marker(team), None)
    await gateway.put_product_policy(
        product, _policy(f'<set-backend-service backend-id="{product}--phi-4" />'), None
    )
    assert await gateway.product_policy(product) is not None


async def test_a_policy_may_name_a_backend_by_an_expression(gateway: Gateway, product: str) -> None:
    named = '<set-backend-service backend-id="@((string)context.Variables[&quot;b&quot;])" />'
    await gateway.put_product_policy(product, _policy(named), None)
    assert await gateway.product_policy(product) is not None


async def test_there_is_no_policy_without_a_product(gateway: Gateway, team: str) -> None:
    with pytest.raises(Unavailable) as refused:
        await gateway.put_product_policy(f"team-{team}", _policy(), None)
    assert refused.value.reason == "NotFound"


async def test_a_product_is_linked_to_an_api_that_exists_as_often_as_one_likes(
    gateway: Gateway, product: str
) -> None:
    with pytest.raises(Unavailable) as refused:
        await gateway.link_product(product, unique("api"))
    assert refused.value.reason == "NotFound"
    await _require_api(gateway)
    for _ in range(2):
        await gateway.link_product(product, API)


async def test_whether_a_product_opens_an_api_is_told_one_by_one_and_in_a_list(
    gateway: Gateway, team: str, product: str
) -> None:
    await _require_api(gateway)
    assert not await gateway.is_linked(product, API)
    assert not await gateway.is_linked(f"team-{unique('absent')}", API)
    assert product not in await gateway.linked_products(API)
    await gateway.link_product(product, API)
    assert await gateway.is_linked(product, API)
    assert product in await gateway.linked_products(API)
    assert await gateway.linked_products(unique("absent")) == frozenset()


async def test_a_product_that_is_unlinked_opens_the_api_no_more(gateway: Gateway, product: str) -> None:
    await _require_api(gateway)
    await gateway.link_product(product, API)
    for _ in range(2):
        await gateway.unlink_product(product, API)
        assert not await gateway.is_linked(product, API)


async def test_all_subscriptions_are_listed_whatever_they_are_for(
    gateway: Gateway, team: str, product: str
) -> None:
    await gateway.put_subscription(f"team-{team}", product, "Ours", None)
    found = {each.name: each for each in await gateway.subscriptions()}
    assert (
        found[f"team-{team}"].product,
        found[f"team-{team}"].display_name,
        found[f"team-{team}"].state,
    ) == (product, "Ours", "active")


async def _require_api(gateway: Gateway) -> None:
    if await gateway.api(API) is None:
        await gateway.put_api(API, CATALOG, _marker("catalogue"), None)


async def test_a_subscription_begins_active_with_two_keys(gateway: Gateway, product: str) -> None:
    assert await gateway.subscription(product) is None
    given = await gateway.put_subscription(product, product, "mergekey/1/alpha", None)
    keys = await gateway.keys(product)
    assert given is None or _fingerprints(given) == _fingerprints(keys)
    assert len(set(_fingerprints(keys))) == 2
    found = await gateway.subscription(product)
    assert found is not None
    assert (found.name, found.display_name, found.product, found.owner, found.state) == (
        product,
        "mergekey/1/alpha",
        product,
        "",
        "active",
    )


async def test_a_suspended_subscription_wakes_with_the_same_keys(gateway: Gateway, product: str) -> None:
    await gateway.put_subscription(product, product, "x", None)
    before, keys = await gateway.subscription(product), await gateway.keys(product)
    assert before is not None
    await gateway.suspend_subscription(product, before.etag)
    asleep = await gateway.subscription(product)
    assert asleep is not None
    assert (asleep.state, asleep.display_name) == ("suspended", "x")
    with pytest.raises(Busy):
        await gateway.suspend_subscription(product, before.etag)
    with pytest.raises(Busy):
        await gateway.put_subscription(product, product, "x", before.etag)
    await gateway.put_subscription(product, product, "x", asleep.etag)
    assert _fingerprints(await gateway.keys(product)) == _fingerprints(keys)


@pytest.mark.parametrize("which", [0, 1])
async def test_one_key_is_made_new_and_the_other_stays(gateway: Gateway, product: str, which: int) -> None:
    await gateway.put_subscription(product, product, "x", None)
    before = _fingerprints(await gateway.keys(product))
    await gateway.regenerate_key(product, which)
    after = _fingerprints(await gateway.keys(product))
    assert [old == new for old, new in zip(before, after, strict=True)] == [which == 1, which == 0]


async def test_there_is_no_subscription_to_a_product_that_is_not_there(gateway: Gateway, team: str) -> None:
    with pytest.raises(Rejected):
        await gateway.put_subscription(team, f"team-{team}", "x", None)


async def test_a_deleted_subscription_is_gone_with_its_keys(gateway: Gateway, product: str) -> None:
    await gateway.put_subscription(product, product, "x", None)
    with pytest.raises(Busy):
        await gateway.delete_subscription(product, STALE)
    await gateway.delete_subscription(product, "*")
    await gateway.delete_subscription(product, "*")
    assert await gateway.subscription(product) is None
    for ask in (gateway.keys(product), gateway.regenerate_key(product, 0)):
        with pytest.raises(Unavailable):
            await ask


async def test_backends_are_listed_by_their_beginning_with_marker_and_url(
    gateway: Gateway, team: str
) -> None:
    prefix = f"team-{team}--"
    assert await gateway.backends(prefix) == []
    backend = Backend(f"{prefix}phi-4", "https://models/phi-4/v1")
    await gateway.put_backend(backend, _marker(team), None)
    await gateway.put_backend(Backend(f"team-{team}x--phi-4", "https://elsewhere/v1"), _marker(team), None)
    [found] = await gateway.backends(prefix)
    assert (found.name, found.url, found.marker) == (
        backend.name,
        "https://models/phi-4/v1",
        backend.with_digest(_marker(team)),
    )
    assert found.equivalent_to(backend)
    await gateway.put_backend(Backend(f"{prefix}phi-4", "https://models/other/v1"), _marker(team), found.etag)
    assert [backend.url for backend in await gateway.backends(prefix)] == ["https://models/other/v1"]


async def test_a_backend_that_changed_meanwhile_is_neither_changed_nor_deleted(
    gateway: Gateway, team: str
) -> None:
    backend = Backend(f"team-{team}--phi-4", "https://models/v1")
    await gateway.put_backend(backend, _marker(team), None)
    for write in (
        gateway.put_backend(backend, _marker(team), STALE),
        gateway.delete_backend(backend.name, STALE),
    ):
        with pytest.raises(Busy):
            await write
    await gateway.delete_backend(backend.name, "*")
    await gateway.delete_backend(backend.name, "*")
    assert await gateway.backends(f"team-{team}--") == []


async def test_a_pool_and_a_breaker_are_listed_as_they_were_written(gateway: Gateway, team: str) -> None:
    prefix = f"team-{team}--"
    one = Backend(f"{prefix}one", "https://one/v1", Breaker(5, 90, 3600))
    other = Backend(f"{prefix}other", "https://other/v1")
    busy = Backend(f"{prefix}busy", "https://busy/v1", Breaker(5, 90, 3600), counts_429=False)
    pool = Backend(f"{prefix}pool", members=(PoolMember(one.name, 90, 1), PoolMember(other.name, 100, 2)))
    with pytest.raises(Rejected):
        await gateway.put_backend(pool, _marker(team), None)
    for backend in (one, other, busy, pool):
        await gateway.put_backend(backend, _marker(team), None)
    found = {each.name: each for each in await gateway.backends(prefix)}
    assert all(found[backend.name].equivalent_to(backend) for backend in (one, other, busy, pool))
    assert [found[each.name].counts_429 for each in (one, other, busy)] == [True, None, False]
    assert (found[one.name].breaker, found[pool.name].members) == (one.breaker, pool.members)
    with pytest.raises(Rejected):
        await gateway.delete_backend(one.name, "*")
    await gateway.put_backend(
        Backend(pool.name, members=pool.members[1:]), _marker(team), found[pool.name].etag
    )
    await gateway.delete_backend(one.name, "*")
    for name in (pool.name, other.name):
        await gateway.delete_backend(name, "*")


async def test_a_certificate_that_is_not_there_cannot_be_shown(gateway: Gateway, team: str) -> None:
    backend = Backend(f"team-{team}--phi-4", "https://models/v1", certificate=f"contract-{team}")
    with pytest.raises(Rejected) as refused:
        await gateway.put_backend(backend, _marker(team), None)
    assert f"contract-{team}" in refused.value.message
    assert await gateway.backends(f"team-{team}--") == []


async def test_a_named_value_points_into_a_vault_and_stays_while_a_backend_sends_it(
    gateway: Gateway, team: str
) -> None:
    value = NamedValue(f"credential--{team}", f"https://platform.vault.azure.net/secrets/{team}")
    sender = Backend(f"team-{team}--sender", "https://api.example/v1", credential=Credential(value.name))
    with pytest.raises(Rejected):
        await gateway.put_backend(sender, _marker(team), None)
    await gateway.put_named_value(value, REPOSITORY, None)
    await gateway.put_backend(sender, _marker(team), None)
    [found] = await gateway.named_values(value.name, REPOSITORY)
    assert (found.name, found.url, found.ours) == (value.name, value.url, True)
    with pytest.raises(Rejected):
        await gateway.delete_named_value(value.name, "*")
    with pytest.raises(Busy):
        await gateway.put_named_value(value, REPOSITORY, STALE)
    await gateway.delete_backend(sender.name, "*")
    await gateway.delete_named_value(value.name, "*")
    await gateway.delete_named_value(value.name, "*")
    assert await gateway.named_values(value.name, REPOSITORY) == []


async def test_a_secret_that_the_vault_lacks_is_told_or_refused(
    gateway: Gateway, team: str, platform_vault: PlatformVault
) -> None:
    value = NamedValue(f"credential--{team}", f"https://platform.vault.azure.net/secrets/{team}")
    platform_vault.lacks(value.url)
    told = await gateway.put_named_value(value, REPOSITORY, None)
    [found] = await gateway.named_values(value.name, REPOSITORY)
    assert "SecretNotFound" in told
    assert found.unreadable == told
    await gateway.delete_named_value(value.name, "*")
    platform_vault.refuses()
    with pytest.raises(AccessDenied) as refused:
        await gateway.put_named_value(value, REPOSITORY, None)
    assert refused.value.reason == "SecretUnreadable"
    assert team in refused.value.message
    assert await gateway.named_values(value.name, REPOSITORY) == []


async def test_a_secret_may_travel_in_a_header_of_its_own(gateway: Gateway, team: str) -> None:
    value = NamedValue(f"credential--{team}", f"https://platform.vault.azure.net/secrets/{team}")
    sender = Backend(
        f"team-{team}--safety",
        "https://safety.example",
        credential=Credential(value.name, "Ocp-Apim-Subscription-Key"),
    )
    await gateway.put_named_value(value, REPOSITORY, None)
    await gateway.put_backend(sender, _marker(team), None)
    with pytest.raises(Rejected):
        await gateway.delete_named_value(value.name, "*")
    await gateway.delete_backend(sender.name, "*")
    await gateway.delete_named_value(value.name, "*")


async def test_the_unified_api_is_imported_marked_and_fenced(gateway: Gateway) -> None:
    assert await gateway.api(unique("absent")) is None
    await _require_api(gateway)
    before = await gateway.api(API)
    assert before is not None
    await gateway.mark_api(API, _marker("catalogue", "d" * 64))
    after = await gateway.api(API)
    assert after is not None
    assert (after.operations, after.marker) == (CATALOG.api_digest, _marker("catalogue", "d" * 64))
    assert (before.requires_keys, after.requires_keys) == (True, True)
    with pytest.raises(Busy):
        await gateway.put_api(API, CATALOG, _marker("catalogue"), before.etag)
    await gateway.put_api(API, CATALOG, _marker("catalogue"), after.etag)


@pytest.mark.parametrize("way", ["native", "mirrored"])
async def test_the_api_of_bearer_keys_says_where_it_takes_them(gateway: Gateway, way: BearerWay) -> None:
    desired, marker = replace(CATALOG, bearer=way), _marker("catalogue", "d" * 64)
    assert await gateway.api(BEARER_API) is None
    await gateway.put_api(BEARER_API, desired, marker.unfinished(), None)
    imported = await gateway.api(BEARER_API)
    assert imported is not None
    assert (imported.key_names, imported.was_finished) == (KEY_NAMES_OF[way], False)
    assert not await gateway.takes_bearer(BEARER_API)
    await gateway.mark_bearer_api(BEARER_API, BearerKeys(marker, way))
    marked = await gateway.api(BEARER_API)
    assert marked is not None
    assert (marked.marker, marked.key_names, marked.subscription_required) == (
        marker,
        KEY_NAMES_OF[way],
        True,
    )
    assert await gateway.takes_bearer(BEARER_API) is (way == "native")
    with pytest.raises(Busy):
        await gateway.delete_api(BEARER_API, imported.etag)
    await gateway.delete_api(BEARER_API, marked.etag)
    assert await gateway.api(BEARER_API) is None
    assert await gateway.linked_products(BEARER_API) == frozenset()


async def test_keys_that_are_given_are_taken_and_wake_nothing(gateway: Gateway, product: str) -> None:
    first = SecretValue(f"Bearer {product}-1"), SecretValue(f"Bearer {product}-2")
    await gateway.put_subscription(product, product, "x", None, first)
    assert _fingerprints(await gateway.keys(product)) == _fingerprints(first)
    other = SecretValue(f"Bearer {product}-3"), SecretValue(f"Bearer {product}-4")
    found = await gateway.subscription(product)
    assert found is not None
    await gateway.suspend_subscription(product, found.etag)
    await gateway.put_keys(product, other)
    asleep = await gateway.subscription(product)
    assert asleep is not None
    assert asleep.state == "suspended"
    assert _fingerprints(await gateway.keys(product)) == _fingerprints(other)


async def test_a_fragment_is_known_by_what_it_says(gateway: Gateway) -> None:
    assert await gateway.fragment(unique("fragment")) == Fragment()
    for text in (
        CATALOG.fragment,
        '<fragment><set-variable name="requested-model" value="gpt-4.1" /></fragment>',
        CATALOG.fragment,
    ):
        await gateway.put_fragment(FRAGMENT, text)
        assert await gateway.fragment(FRAGMENT) == Fragment(canonical_digest(text), RULES)


async def test_the_apis_policy_names_what_exists(gateway: Gateway) -> None:
    await _require_api(gateway)
    for backend in CATALOG.backends:
        await gateway.put_backend(backend, _marker("catalogue"), None)
    await gateway.put_fragment(FRAGMENT, CATALOG.fragment)
    before = await gateway.api_policy(API)
    await gateway.put_api_policy(API, CATALOG.policy, before.etag if before else None)
    with pytest.raises(Rejected):
        await gateway.put_api_policy(API, _policy('<set-backend-service backend-id="missing" />'), None)
    with pytest.raises(Busy):
        await gateway.put_api_policy(API, CATALOG.policy, STALE)
    after = await gateway.api_policy(API)
    assert after is not None
    assert after.digest == digest_of(CATALOG.policy)


async def test_everything_that_a_catalogue_can_ask_for_is_accepted(gateway: Gateway, product: str) -> None:
    await _require_api(gateway)
    desired = compile_catalog(GOVERNED, FakeApp().platform)
    for value in desired.named_values:
        await gateway.put_named_value(value, REPOSITORY, None)
    for backend in desired.backends:
        await gateway.put_backend(backend, _marker("catalogue"), None)
    await gateway.put_fragment(FRAGMENT, desired.fragment)
    before = await gateway.api_policy(API)
    await gateway.put_api_policy(API, desired.policy, before.etag if before else None)
    after = await gateway.api_policy(API)
    assert after is not None
    assert after.digest == digest_of(desired.policy)
    text = product_policy(asking("gpt-4.1", "mistral-small"), GOVERNED)
    await gateway.put_product_policy(product, text, None)
    found = await gateway.product_policy(product)
    assert found is not None
    assert found.digest == digest_of(text)
    with pytest.raises(Rejected):
        await gateway.delete_backend(SAFETY_BACKEND, "*")


async def test_there_is_no_policy_and_no_marker_without_an_api(gateway: Gateway) -> None:
    name = unique("api")
    for write in (
        gateway.put_api_policy(name, _policy(), None),
        gateway.mark_api(name, _marker("catalogue")),
    ):
        with pytest.raises(Unavailable) as refused:
            await write
        assert refused.value.reason == "NotFound"
