"""APIs and their operations, writes that meet, and operations that take their time, driven by
azure-mgmt-apimanagement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.polling import AsyncLROPoller
from azure.mgmt.apimanagement.models import (
    ApiCreateOrUpdateParameter,
    ApiUpdateContract,
    NamedValueCreateContract,
    NamedValueUpdateParameters,
    OperationContract,
    OperationUpdateContract,
    ParameterContract,
    ProductContract,
)

from standins.tests.api_management.builders import (
    QUICKLY,
    SERVER,
    WHERE,
    Client,
    a_fragment,
    an_api,
    options,
    problem,
    raw,
    unique,
)
from standins.tests.azure_clients import with_etag
from standins.tests.plugin import StandIns


def an_operation(**properties: Any) -> OperationContract:
    return OperationContract(
        **{"display_name": "Embed", "method": "POST", "url_template": "/v1/embeddings", **properties}
    )


async def test_an_api_gets_its_operations_from_its_openapi_document(client: Client) -> None:
    name = unique("ai")
    made, etag = await (
        await client.api.begin_create_or_update(*WHERE, name, an_api(name), cls=with_etag)
    ).result()
    assert (made.display_name, made.path, made.service_url, made.name) == (
        "AI models",
        name,
        "https://models.example/v1",
        name,
    )
    rows = {row.name: row async for row in client.api_operation.list_by_api(*WHERE, name)}
    assert rows.keys() == {"chat-by-path", "post-v1-chat-completions"}
    assert (rows["chat-by-path"].method, rows["chat-by-path"].url_template) == (
        "POST",
        "/deployments/{model}/chat/completions",
    )
    assert [parameter.name for parameter in rows["chat-by-path"].template_parameters] == ["model"]
    changed, _ = await client.api.update(
        *WHERE, name, etag, ApiUpdateContract(description="one for all"), cls=with_etag
    )
    assert (changed.description, changed.path) == ("one for all", name)
    policy = await client.api_policy.create_or_update(*WHERE, name, "policy", raw(""))
    assert policy.name == "policy"
    await (await client.api.begin_delete(*WHERE, name, "*")).result()
    with pytest.raises(ResourceNotFoundError):
        await client.api.get(*WHERE, name)


async def test_an_api_may_be_made_without_a_document_and_its_path_has_no_slash_in_front(
    client: Client,
) -> None:
    name = unique("ai")
    asked = ApiCreateOrUpdateParameter(display_name="By hand", path=f"/{name}/", protocols=["https"])
    made = await (await client.api.begin_create_or_update(*WHERE, name, asked)).result()
    assert (made.path, made.api_revision, made.is_current) == (name, "1", True)
    assert [row async for row in client.api_operation.list_by_api(*WHERE, name)] == []
    assert await client.api.get_entity_tag(*WHERE, name) is True


async def test_a_document_or_a_path_that_cannot_be_is_refused(client: Client, api: str) -> None:
    name = unique("ai")
    broken = ApiCreateOrUpdateParameter(path=name, format="openapi+json", value="{")
    with pytest.raises(HttpResponseError, match="ValidationError"):
        await client.api.begin_create_or_update(*WHERE, name, broken)
    with pytest.raises(HttpResponseError, match="ValidationError") as refused:
        await client.api.begin_create_or_update(*WHERE, name, an_api(api))
    assert problem(refused.value)[1] == "path"


async def test_operations_come_and_go_one_by_one(client: Client, api: str) -> None:
    where = (*WHERE, api, "embed")
    made, etag = await client.api_operation.create_or_update(*where, an_operation(), cls=with_etag)
    assert (made.name, made.method) == ("embed", "POST")
    await client.api_operation_policy.create_or_update(*where, "policy", raw(""))
    changed = await client.api_operation.update(*where, etag, OperationUpdateContract(description="vectors"))
    assert (changed.description, changed.url_template) == ("vectors", "/v1/embeddings")
    with pytest.raises(HttpResponseError) as refused:
        await client.api_operation.delete(*where, etag)
    assert refused.value.status_code == 412
    await client.api_operation.delete(*where, "*")
    await client.api_operation.create_or_update(*where, an_operation())
    with pytest.raises(ResourceNotFoundError):
        await client.api_operation_policy.get(*where, "policy")


async def test_every_parameter_of_an_operations_path_must_be_declared(client: Client, api: str) -> None:
    where, template = (*WHERE, api, "by-name"), "/models/{name}"
    with pytest.raises(HttpResponseError) as refused:
        await client.api_operation.create_or_update(*where, an_operation(url_template=template))
    assert problem(refused.value)[1] == "templateParameters"
    declared = [ParameterContract(name="name", type="string", required=True)]
    made = await client.api_operation.create_or_update(
        *where, an_operation(url_template=template, template_parameters=declared)
    )
    assert made.template_parameters[0].name == "name"


async def refused_of(standins: StandIns, *writes: Awaitable[Any]) -> list[ResourceExistsError]:
    """The conflicts among writes that are made at once. Each takes a minute, which is over when the first has
    its answer.
    """
    with options(standins, api_write_seconds=60):
        answering = [asyncio.ensure_future(write) for write in writes]
        await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)
        standins.control.advance(61)
        answers = await asyncio.gather(*answering, return_exceptions=True)
    return [answer for answer in answers if isinstance(answer, ResourceExistsError)]


async def test_two_links_to_one_api_at_once_are_one_too_many(
    standins: StandIns, client: Client, product: str, api: str
) -> None:
    other = unique("team")
    await client.product.create_or_update(*WHERE, other, ProductContract(display_name=other))
    [refused] = await refused_of(
        standins, *(client.product_api.create_or_update(*WHERE, name, api) for name in (product, other))
    )
    assert refused.error is not None
    assert (refused.status_code, refused.error.code) == (409, "PessimisticConcurrencyConflict")
    assert len([row async for row in client.api_product.list_by_apis(*WHERE, api)]) == 1


async def test_every_write_on_an_api_locks_it(
    standins: StandIns, client: Client, product: str, api: str
) -> None:
    operation = (*WHERE, api, "chat-by-path")
    await client.api_policy.create_or_update(*WHERE, api, "policy", raw(""))
    writes: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: client.api.begin_create_or_update(*WHERE, api, an_api(api)),
        lambda: client.api.update(*WHERE, api, "*", ApiUpdateContract(description="x")),
        lambda: client.api_policy.create_or_update(*WHERE, api, "policy", raw("")),
        lambda: client.api_policy.delete(*WHERE, api, "policy", "*"),
        lambda: client.product_api.create_or_update(*WHERE, product, api),
        lambda: client.product_api.delete(*WHERE, product, api),
        lambda: client.api_operation.create_or_update(*operation, an_operation()),
        lambda: client.api_operation_policy.create_or_update(*operation, "policy", raw("")),
        lambda: client.api_operation_policy.delete(*operation, "policy", "*"),
        lambda: client.api_operation.delete(*operation, "*"),
        lambda: client.api.begin_delete(*WHERE, api, "*"),
    )
    for write in writes:
        assert len(await refused_of(standins, write(), write())) == 1


async def ended(standins: StandIns, beginning: Awaitable[AsyncLROPoller[Any]]) -> tuple[Any, list[str]]:
    """What an operation ends with, and the states that its poller saw; the clock is moved when it was told to
    wait.
    """
    standins.control.forget_calls()
    poller = await beginning
    seen = [poller.status()]
    result = asyncio.ensure_future(poller.result())
    while not any(call.kind == "GET operation status" for call in standins.control.calls(SERVER)):
        assert not result.done()
        await asyncio.sleep(0.01)
    standins.control.advance(60)
    return await asyncio.wait_for(result, 300), [*seen, poller.status()]


async def test_an_import_goes_on_after_the_answer(standins: StandIns, client: Client, product: str) -> None:
    name = unique("ai")
    with options(standins, long_running_seconds=30):
        beginning = client.api.begin_create_or_update(*WHERE, name, an_api(name), **QUICKLY)
        made, states = await ended(standins, beginning)
        assert (made.name, made.provisioning_state) == (name, "Succeeded")
        assert states == ["InProgress", "Succeeded"]
        deletion = client.api.begin_delete(*WHERE, name, "*", **QUICKLY)
        assert (await ended(standins, deletion))[1] == ["InProgress", "Succeeded"]


async def test_an_api_is_locked_until_its_import_has_ended(
    standins: StandIns, client: Client, product: str
) -> None:
    name = unique("ai")
    with options(standins, long_running_seconds=30):
        await client.api.begin_create_or_update(*WHERE, name, an_api(name), polling=False)
        assert (await client.api.get(*WHERE, name)).provisioning_state == "InProgress"
        with pytest.raises(ResourceExistsError, match="PessimisticConcurrencyConflict"):
            await client.product_api.create_or_update(*WHERE, product, name)
        standins.control.advance(31)
        assert (await client.api.get(*WHERE, name)).provisioning_state == "Succeeded"
        await client.product_api.create_or_update(*WHERE, product, name)


async def test_named_values_and_fragments_may_take_their_time_too(standins: StandIns, client: Client) -> None:
    name = unique("slow")
    created = NamedValueCreateContract(display_name=name, value="v1")
    with options(standins, long_running_seconds=30):
        made, states = await ended(
            standins, client.named_value.begin_create_or_update(*WHERE, name, created, **QUICKLY)
        )
        assert (made.value, states) == ("v1", ["InProgress", "Succeeded"])
        update = client.named_value.begin_update(
            *WHERE, name, "*", NamedValueUpdateParameters(value="v2"), **QUICKLY
        )
        made, states = await ended(standins, update)
        assert (made.value, states) == ("v2", ["InProgress", "Succeeded"])
        made, states = await ended(
            standins, client.policy_fragment.begin_create_or_update(*WHERE, name, a_fragment(), **QUICKLY)
        )
        assert (made.name, states) == (name, ["InProgress", "Succeeded"])
