"""Long-running operations: where their outcome is asked for, who may ask, and what one that fails leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.models import NamedValueCreateContract, NamedValueUpdateParameters

from standins.tests.api_management.builders import (
    QUICKLY,
    SERVER,
    WHERE,
    Client,
    a_fragment,
    an_api,
    options,
    unique,
)
from standins.tests.azure_clients import api_management
from standins.tests.plugin import StandIns


def a_value(value: str = "v1") -> NamedValueCreateContract:
    return NamedValueCreateContract(display_name=unique("nv"), value=value)


#: How each long-running write begins, by its kind: with the client, and the name of what is written.
WRITES: dict[str, Callable[[Client, str], Awaitable[Any]]] = {
    "PUT api": lambda client, name: client.api.begin_create_or_update(*WHERE, name, an_api(name), **QUICKLY),
    "PUT named value": lambda client, name: client.named_value.begin_create_or_update(
        *WHERE, name, a_value(), **QUICKLY
    ),
    "PUT policy fragment": lambda client, name: client.policy_fragment.begin_create_or_update(
        *WHERE, name, a_fragment(), **QUICKLY
    ),
}
#: How it is read.
READS: dict[str, Callable[[Client, str], Awaitable[Any]]] = {
    "PUT api": lambda client, name: client.api.get(*WHERE, name),
    "PUT named value": lambda client, name: client.named_value.get(*WHERE, name),
    "PUT policy fragment": lambda client, name: client.policy_fragment.get(*WHERE, name),
}


def polls(standins: StandIns) -> list[str]:
    """The paths at which outcomes were asked for."""
    calls = standins.control.calls(SERVER)
    return [call.target.partition("?")[0] for call in calls if call.kind == "GET operation status"]


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("tenant", "/tenant/operationResults/"),
        ("service", "/operationResults/"),
        ("locations", "/locations/local/operationStatuses/"),
    ],
)
async def test_the_outcome_is_asked_for_where_the_first_answer_says(
    standins: StandIns, client: Client, kind: str, place: str, path: str
) -> None:
    name = unique("slow")
    standins.control.forget_calls()
    with options(standins, operations_at=place):
        made = await (await WRITES[kind](client, name)).result()
    assert made.name == name
    [asked] = polls(standins)
    assert path in asked
    assert ("/tenant/" in asked) == (place == "tenant")


async def test_the_resource_names_its_operation_while_that_goes_on(
    standins: StandIns, client: Client
) -> None:
    name = unique("slow")
    with options(standins, long_running_seconds=30):
        standins.control.forget_calls()
        poller = await client.policy_fragment.begin_create_or_update(
            *WHERE, name, a_fragment(), polling=False
        )
        location = poller.polling_method()._initial_response.http_response.headers["Location"]
        assert f"/policyFragments/{name}?" in location
        assert "asyncId=" in location
        assert "asyncCode=201" in location


async def test_an_outcome_needs_a_role(standins: StandIns) -> None:
    async with (
        ManagedIdentityCredential(client_id=unique("somebody")) as credential,
        api_management(standins, credential) as client,
    ):
        standins.control.set_options("azure", check_roles=False)
        try:
            poller = await WRITES["PUT policy fragment"](client, unique("slow"))
        finally:
            standins.control.set_options("azure", check_roles=True)
        with pytest.raises(HttpResponseError) as refused:
            await poller.result()
    assert refused.value.status_code == 403
    assert "Microsoft.ApiManagement/service/tenant/operationResults/read" in str(refused.value.message)


@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.parametrize("kind", WRITES)
async def test_an_operation_that_fails_says_why_and_leaves_nothing(
    standins: StandIns, client: Client, kind: str, seconds: int
) -> None:
    name = unique("slow")
    standins.control.fault(SERVER, kind, when="later", code="ValidationError", body="no such secret")
    with options(standins, long_running_seconds=seconds):
        poller = await WRITES[kind](client, name)
        assert (await READS[kind](client, name)).provisioning_state == "InProgress" if seconds else True
        standins.control.advance(seconds)
        with pytest.raises(HttpResponseError) as failed:
            await poller.result()
    assert failed.value.error is not None
    assert (failed.value.error.code, failed.value.error.message) == ("ValidationError", "no such secret")
    with pytest.raises(ResourceNotFoundError):
        await READS[kind](client, name)


async def test_a_change_that_fails_leaves_what_was_there(standins: StandIns, client: Client) -> None:
    name = unique("slow")
    await (await WRITES["PUT named value"](client, name)).result()
    standins.control.fault(SERVER, "PATCH named value", when="later")
    poller = await client.named_value.begin_update(
        *WHERE, name, "*", NamedValueUpdateParameters(value="v2"), **QUICKLY
    )
    with pytest.raises(HttpResponseError):
        await poller.result()
    assert (await client.named_value.get(*WHERE, name)).value == "v1"


async def test_a_deletion_that_fails_leaves_the_api(standins: StandIns, client: Client, api: str) -> None:
    standins.control.fault(SERVER, "DELETE api", when="later")
    poller = await client.api.begin_delete(*WHERE, api, "*", **QUICKLY)
    with pytest.raises(HttpResponseError):
        await poller.result()
    assert (await client.api.get(*WHERE, api)).name == api
