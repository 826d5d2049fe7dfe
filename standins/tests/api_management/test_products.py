"""Products, their groups and APIs, and how many there may be, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import re

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.models import GroupCreateParameters, ProductContract, ProductUpdateParameters

from standins.tests.api_management.builders import (
    INSTANCE,
    WHERE,
    Client,
    a_backend,
    a_fragment,
    a_subscription,
    an_api,
    options,
    problem,
    raw,
    unique,
)
from standins.tests.azure_clients import GROUP, ask, with_etag
from standins.tests.plugin import StandIns


async def test_a_product_begins_unpublished_and_every_write_changes_its_etag(
    client: Client,
) -> None:
    name = unique("team")
    made, first = await client.product.create_or_update(
        *WHERE, name, ProductContract(display_name="Team"), cls=with_etag
    )
    assert (made.name, made.state, made.subscription_required, made.id) == (
        name,
        "notPublished",
        True,
        f"{INSTANCE}/products/{name}",
    )
    changes = ProductUpdateParameters(state="published", description="for the team")
    _, second = await client.product.update(*WHERE, name, first, changes, cls=with_etag)
    read, third = await client.product.get(*WHERE, name, cls=with_etag)
    assert (read.state, read.description, read.display_name) == ("published", "for the team", "Team")
    assert first != second == third


async def test_a_write_with_an_old_etag_is_refused(client: Client, product: str) -> None:
    _, old = await client.product.get(*WHERE, product, cls=with_etag)
    await client.product.update(*WHERE, product, old, ProductUpdateParameters(description="somebody else's"))
    for write in (
        client.product.update(*WHERE, product, old, ProductUpdateParameters(description="mine")),
        client.product.create_or_update(*WHERE, product, ProductContract(display_name="mine"), if_match=old),
        client.product.delete(*WHERE, product, old, delete_subscriptions=True),
        client.product_policy.create_or_update(*WHERE, product, "policy", raw(""), if_match=old),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await write
        assert refused.value.status_code == 412
    assert (await client.product.get(*WHERE, product)).description == "somebody else's"


async def test_an_update_must_say_of_which_state(
    standins: StandIns, credential: ManagedIdentityCredential, product: str
) -> None:
    token = (await credential.get_token("https://management.azure.com/.default")).token
    url = f"{standins.addresses['resource-manager']}{INSTANCE}/products/{product}?api-version=2024-05-01"
    status, answer, _ = ask(standins, "PATCH", url, body={"properties": {}}, Authorization=f"Bearer {token}")
    assert (status, answer["error"]["code"]) == (400, "ValidationError")


@pytest.mark.wrong_on_purpose  # the description asks for If-Match
async def test_a_deletion_need_not_say_of_which_state(
    standins: StandIns, client: Client, credential: ManagedIdentityCredential, product: str
) -> None:
    """As Terraform's provider sends it: https://registry.terraform.io/providers/hashicorp/azurerm"""
    name, token = unique("x"), (await credential.get_token("https://management.azure.com/.default")).token
    await client.backend.create_or_update(*WHERE, name, a_backend())
    await (await client.policy_fragment.begin_create_or_update(*WHERE, name, a_fragment())).result()
    await client.subscription.create_or_update(*WHERE, name, a_subscription(product))
    await (await client.api.begin_create_or_update(*WHERE, name, an_api(name))).result()
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(""))
    for path, deleted in (
        (f"backends/{name}", 200),
        (f"policyFragments/{name}", 200),
        (f"subscriptions/{name}", 200),
        (f"apis/{name}", 202),
        (f"products/{product}/policies/policy", 200),
        (f"products/{product}?deleteSubscriptions=true", 200),
    ):
        mark = "&" if "?" in path else "?"
        url = f"{standins.addresses['resource-manager']}{INSTANCE}/{path}{mark}api-version=2024-05-01"
        for expected in (deleted, 204):
            assert ask(standins, "DELETE", url, Authorization=f"Bearer {token}")[0] == expected, path


async def test_a_star_matches_any_state_and_none(client: Client) -> None:
    name = unique("team")
    await client.product.create_or_update(*WHERE, name, ProductContract(display_name="x"), if_match="*")
    assert (
        await client.product.update(*WHERE, name, "*", ProductUpdateParameters(description="y"))
    ).description == "y"
    with pytest.raises(HttpResponseError) as refused:
        await client.product.create_or_update(
            *WHERE, unique("team"), ProductContract(display_name="x"), if_match='"AAAAAAAAAAE="'
        )
    assert refused.value.status_code == 412


async def test_head_says_whether_there_is_one(client: Client, product: str) -> None:
    assert await client.product.get_entity_tag(*WHERE, product) is True
    with pytest.raises(ResourceNotFoundError):
        await client.product.get_entity_tag(*WHERE, unique("absent"))


async def test_a_product_comes_with_a_subscription_and_the_group_of_the_administrators(
    client: Client, product: str
) -> None:
    [extra] = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    assert re.fullmatch(r"[0-9a-f]{24}", extra.name)
    assert (extra.owner_id, extra.state, extra.scope) == (
        f"{INSTANCE}/users/1",
        "active",
        f"{INSTANCE}/products/{product}",
    )
    [group] = [row async for row in client.product_group.list_by_product(*WHERE, product)]
    assert (group.name, group.type_properties_type, group.id) == (
        "administrators",
        "system",
        f"{INSTANCE}/products/{product}/groups/administrators",
    )


async def test_a_group_that_exists_can_be_given_a_product_and_lose_it(client: Client, product: str) -> None:
    _, etag = await client.product.get(*WHERE, product, cls=with_etag)
    await client.product_group.create_or_update(*WHERE, product, "developers")
    assert await client.product_group.check_entity_exists(*WHERE, product, "developers") is True
    assert [row.name async for row in client.product_group.list_by_product(*WHERE, product)] == [
        "administrators",
        "developers",
    ]
    await client.product_group.delete(*WHERE, product, "developers")
    await client.product_group.delete(*WHERE, product, "developers")
    with pytest.raises(ResourceNotFoundError):
        await client.product_group.check_entity_exists(*WHERE, product, "developers")
    with pytest.raises(ResourceNotFoundError):
        await client.product_group.create_or_update(*WHERE, product, unique("absent"))
    assert (await client.product.get(*WHERE, product, cls=with_etag))[1] == etag


async def test_the_systems_groups_stay_as_they_are_and_others_come_and_go(
    client: Client, product: str
) -> None:
    name = unique("group")
    made = await client.group.create_or_update(*WHERE, name, GroupCreateParameters(display_name="Ours"))
    assert (made.built_in, made.type_properties_type) == (False, "custom")
    await client.product_group.create_or_update(*WHERE, product, name)
    assert {"administrators", "developers", "guests", name} <= {
        row.name async for row in client.group.list_by_service(*WHERE)
    }
    with pytest.raises(HttpResponseError, match="ValidationError"):
        await client.group.delete(*WHERE, "guests", "*")
    await client.group.delete(*WHERE, name, "*")
    assert [row.name async for row in client.product_group.list_by_product(*WHERE, product)] == [
        "administrators"
    ]


async def test_a_product_with_subscriptions_is_deleted_only_together_with_them(
    client: Client, product: str, api: str
) -> None:
    await client.product_api.create_or_update(*WHERE, product, api)
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(""))
    [extra] = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    with pytest.raises(HttpResponseError, match="existing subscriptions") as refused:
        await client.product.delete(*WHERE, product, "*")
    assert refused.value.status_code == 400
    await client.product.delete(*WHERE, product, "*", delete_subscriptions=True)
    with pytest.raises(ResourceNotFoundError):
        await client.subscription.get(*WHERE, extra.name)
    assert [row.name async for row in client.api_product.list_by_apis(*WHERE, api)] == []
    await client.product.create_or_update(*WHERE, product, ProductContract(display_name="again"))
    with pytest.raises(ResourceNotFoundError):
        await client.product_policy.get(*WHERE, product, "policy")


async def test_deleting_what_is_not_there_succeeds(client: Client, product: str) -> None:
    gone = unique("gone")
    await client.product.delete(*WHERE, gone, "*")
    await client.subscription.delete(*WHERE, gone, "*")
    await client.backend.delete(*WHERE, gone, "*")
    await client.product_policy.delete(*WHERE, product, "policy", "*")
    await client.product_api.delete(*WHERE, product, gone)
    await client.policy_fragment.delete(*WHERE, gone, "*")
    await client.named_value.delete(*WHERE, gone, "*")
    await (await client.api.begin_delete(*WHERE, gone, "*")).result()


async def test_what_is_too_long_or_contradicts_itself_is_refused_by_name_of_the_field(client: Client) -> None:
    name = unique("team")
    for target, product in (
        ("displayName", ProductContract(display_name="x" * 301)),
        ("displayName", ProductContract(display_name="")),
        ("description", ProductContract(display_name="x", description="x" * 1001)),
        (
            "subscriptionRequired",
            ProductContract(display_name="x", subscription_required=False, subscriptions_limit=1),
        ),
        ("state", ProductContract(display_name="x", state="hidden")),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await client.product.create_or_update(*WHERE, name, product)
        assert (refused.value.status_code, *problem(refused.value)[:2]) == (400, "ValidationError", target)
    with pytest.raises(HttpResponseError) as refused:
        await client.product.create_or_update(*WHERE, "a:b", ProductContract(display_name="x"))
    assert problem(refused.value)[1] == "name"


async def test_a_link_shows_on_both_sides(client: Client, product: str, api: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.product_api.check_entity_exists(*WHERE, product, api)
    linked = await client.product_api.create_or_update(*WHERE, product, api)
    assert (linked.name, linked.id) == (api, f"{INSTANCE}/products/{product}/apis/{api}")
    assert await client.product_api.check_entity_exists(*WHERE, product, api) is True
    assert [row.name async for row in client.product_api.list_by_product(*WHERE, product)] == [api]
    assert [row.id async for row in client.api_product.list_by_apis(*WHERE, api)] == [
        f"{INSTANCE}/apis/{api}/products/{product}"
    ]
    await client.product_api.delete(*WHERE, product, api)
    assert [row.name async for row in client.product_api.list_by_product(*WHERE, product)] == []


async def test_a_display_name_belongs_to_one_product(client: Client, product: str) -> None:
    shown, other = f"Shown as {product}", unique("team")
    await client.product.update(*WHERE, product, "*", ProductUpdateParameters(display_name=shown))
    with pytest.raises(HttpResponseError) as refused:
        await client.product.create_or_update(
            *WHERE, other, ProductContract(display_name=f"{shown.upper()} ")
        )
    assert problem(refused.value) == ("ValidationError", "name", "Product with the same name already exists")
    await client.product.update(*WHERE, product, "*", ProductUpdateParameters(display_name=shown))


async def test_an_api_belongs_to_one_open_product_at_most(client: Client, product: str, api: str) -> None:
    opened, opening = unique("open"), ProductUpdateParameters(subscription_required=False)
    await client.product.create_or_update(
        *WHERE, opened, ProductContract(display_name="Open", subscription_required=False)
    )
    await client.product_api.create_or_update(*WHERE, opened, api)
    await client.product_api.create_or_update(*WHERE, opened, api)
    await client.product_api.create_or_update(*WHERE, product, api)
    second = unique("open")
    await client.product.create_or_update(
        *WHERE, second, ProductContract(display_name="Open too", subscription_required=False)
    )
    for write in (
        client.product_api.create_or_update(*WHERE, second, api),
        client.product.update(*WHERE, product, "*", opening),
        client.product.create_or_update(
            *WHERE, product, ProductContract(display_name=product, subscription_required=False)
        ),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await write
        assert problem(refused.value) == (
            "ValidationError",
            "aid",
            "API cannot be added to more than one open products.",
        )
    await client.product.update(*WHERE, opened, "*", ProductUpdateParameters(subscription_required=True))
    assert not (await client.product.update(*WHERE, product, "*", opening)).subscription_required


async def test_an_api_that_is_not_there_cannot_be_linked(client: Client, product: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.product_api.create_or_update(*WHERE, product, unique("absent"))


async def test_a_tier_holds_so_many_products_and_no_more(standins: StandIns, client: Client) -> None:
    small = (GROUP, unique("small"))
    with options(standins, "azure", throttling=False), options(standins, tier="Developer"):
        for number in range(100):
            await client.product.create_or_update(
                *small, f"p{number}", ProductContract(display_name=f"x{number}")
            )
        with pytest.raises(HttpResponseError, match="limited to 100 products") as refused:
            await client.product.create_or_update(
                *small, "one-more", ProductContract(display_name="one more")
            )
        assert refused.value.status_code == 400
        assert (
            await client.product.create_or_update(*small, "p7", ProductContract(display_name="y"))
        ).display_name == "y"
