"""Foundry accounts, model deployments, projects and connections, through azure-mgmt-cognitiveservices."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.cognitiveservices.aio import CognitiveServicesManagementClient
from azure.mgmt.cognitiveservices.models import (
    Account,
    AccountProperties,
    Deployment,
    DeploymentModel,
    DeploymentProperties,
    Identity,
    Project,
    ProjectProperties,
    Sku,
)

from standins.tests.azure_clients import ask, managed_identity
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION, TENANT

GROUP = "ai"
#: Polling in real time: the operations end by the stand-ins' clock.
SOON: dict[str, Any] = {"polling_interval": 0.02}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            yield credential


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def foundry(
    standins: StandIns, credential: ManagedIdentityCredential
) -> AsyncIterator[CognitiveServicesManagementClient]:
    base = standins.addresses["resource-manager"]
    async with CognitiveServicesManagementClient(
        credential, SUBSCRIPTION, base_url=base, connection_verify=standins.ca
    ) as client:
        yield client


@pytest.fixture
def slow(standins: StandIns) -> Iterator[float]:
    """Operations that take ten minutes of the clock."""
    standins.control.set_options("azure", operation_seconds=600)
    yield 600.0
    standins.control.set_options("azure", operation_seconds=0)


def an_account(name: str, kind: str = "AIServices", projects: bool = True) -> Account:
    return Account(
        location="westeurope",
        kind=kind,
        sku=Sku(name="S0"),
        identity=Identity(type="SystemAssigned"),
        properties=AccountProperties(custom_sub_domain_name=name, allow_project_management=projects),
    )


def a_project(name: str = "Team Alpha", location: str = "westeurope") -> Project:
    return Project(
        location=location,
        identity=Identity(type="SystemAssigned"),
        properties=ProjectProperties(display_name=name),
    )


def a_deployment() -> Deployment:
    model = DeploymentModel(format="OpenAI", name="gpt-4.1", version="2025-04-14")
    return Deployment(
        sku=Sku(name="GlobalStandard", capacity=10), properties=DeploymentProperties(model=model)
    )


@pytest_asyncio.fixture
async def account(foundry: CognitiveServicesManagementClient) -> str:
    name = f"foundry-{uuid.uuid4().hex[:10]}"
    await (await foundry.accounts.begin_create(GROUP, name, an_account(name), **SOON)).result()
    return name


async def test_an_account_is_made_read_and_listed(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    read: Any = await foundry.accounts.get(GROUP, account)
    assert (read.name, read.kind, read.properties.provisioning_state) == (account, "AIServices", "Succeeded")
    assert read.properties.endpoint == f"https://{account}.cognitiveservices.azure.com/"
    assert read.identity.tenant_id == TENANT
    assert read.id in [found.id async for found in foundry.accounts.list_by_resource_group(GROUP)]
    assert read.id in [found.id async for found in foundry.accounts.list()]


async def test_an_account_needs_a_resource_group_and_keeps_its_location(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    with pytest.raises(ResourceNotFoundError, match="ResourceGroupNotFound"):
        await foundry.accounts.begin_create("none", account, an_account(account))
    moved = an_account(account)
    moved.location = "northeurope"
    with pytest.raises(ResourceExistsError, match="InvalidResourceLocation"):
        await foundry.accounts.begin_create(GROUP, account, moved)


async def test_a_project_is_made_changed_listed_and_deleted(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    made: Any = await (
        await foundry.projects.begin_create(GROUP, account, "team-alpha", a_project(), **SOON)
    ).result()
    assert (made.name, made.properties.provisioning_state) == (f"{account}/team-alpha", "Succeeded")
    assert (
        made.properties.endpoints["AI Foundry API"]
        == f"https://{account}.services.ai.azure.com/api/projects/team-alpha"
    )
    assert made.properties.is_default is True
    assert made.identity.principal_id
    change = Project(tags={"team": "alpha"}, properties=ProjectProperties(description="for alpha"))
    changed: Any = await (
        await foundry.projects.begin_update(GROUP, account, "team-alpha", change, **SOON)
    ).result()
    assert (changed.properties.display_name, changed.properties.description, changed.tags) == (
        "Team Alpha",
        "for alpha",
        {"team": "alpha"},
    )
    again: Any = await (
        await foundry.projects.begin_create(GROUP, account, "team-alpha", a_project("Alpha"), **SOON)
    ).result()
    assert (again.properties.display_name, again.properties.is_default) == ("Alpha", True)
    assert again.identity.principal_id == made.identity.principal_id
    assert [found.id async for found in foundry.projects.list(GROUP, account)] == [made.id]
    await (await foundry.projects.begin_delete(GROUP, account, "team-alpha", **SOON)).result()
    with pytest.raises(ResourceNotFoundError):
        await foundry.projects.get(GROUP, account, "team-alpha")
    await (await foundry.projects.begin_delete(GROUP, account, "team-alpha", **SOON)).result()


async def test_only_the_first_project_is_the_default(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    for name in ("one", "two"):
        await (await foundry.projects.begin_create(GROUP, account, name, a_project(), **SOON)).result()
    projects: list[Any] = [found async for found in foundry.projects.list(GROUP, account)]
    assert [found.properties.is_default for found in projects] == [True, False]


async def test_a_project_takes_its_time(
    standins: StandIns, foundry: CognitiveServicesManagementClient, account: str, slow: float
) -> None:
    making = await foundry.projects.begin_create(GROUP, account, "slow", a_project(), **SOON)
    result = asyncio.ensure_future(making.result())
    project: Any = await foundry.projects.get(GROUP, account, "slow")
    assert (project.properties.provisioning_state, making.status()) == ("Creating", "InProgress")
    standins.control.advance(slow)
    made: Any = await asyncio.wait_for(result, 300)
    assert made.properties.provisioning_state == "Succeeded"
    assert making.status() == "Succeeded"
    deleting = await foundry.projects.begin_delete(GROUP, account, "slow", **SOON)
    gone = asyncio.ensure_future(deleting.result())
    project = await foundry.projects.get(GROUP, account, "slow")
    assert project.properties.provisioning_state == "Deleting"
    standins.control.advance(slow)
    await asyncio.wait_for(gone, 300)
    with pytest.raises(ResourceNotFoundError):
        await foundry.projects.get(GROUP, account, "slow")


async def test_writes_on_one_account_exclude_each_other(
    standins: StandIns, foundry: CognitiveServicesManagementClient, account: str, slow: float
) -> None:
    await foundry.projects.begin_create(GROUP, account, "one", a_project(), polling=False)
    for second in (
        foundry.projects.begin_create(GROUP, account, "two", a_project(), polling=False),
        foundry.projects.begin_delete(GROUP, account, "one", polling=False),
        foundry.deployments.begin_create_or_update(GROUP, account, "chat", a_deployment(), polling=False),
    ):
        with pytest.raises(HttpResponseError, match="RequestConflict") as refused:
            await second
        assert refused.value.status_code == 409
        assert f"accounts/{account}'. Please try again later." in str(refused.value)
    standins.control.advance(slow)
    await foundry.projects.begin_create(GROUP, account, "two", a_project(), polling=False)


async def test_a_project_needs_an_account_that_may_have_some(
    foundry: CognitiveServicesManagementClient,
) -> None:
    with pytest.raises(ResourceNotFoundError, match="ParentResourceNotFound"):
        await foundry.projects.begin_create(GROUP, f"none-{uuid.uuid4().hex[:8]}", "p1", a_project())
    for kind, allowed in (("OpenAI", True), ("AIServices", False)):
        name = f"other-{uuid.uuid4().hex[:8]}"
        await (
            await foundry.accounts.begin_create(GROUP, name, an_account(name, kind, allowed), **SOON)
        ).result()
        with pytest.raises(HttpResponseError, match="allowProjectManagement"):
            await foundry.projects.begin_create(GROUP, name, "p1", a_project())


@pytest.mark.parametrize("name", ["x", "-alpha", "x" * 65, "al pha"])
async def test_a_name_that_no_project_may_have_is_refused(
    standins: StandIns, credential: ManagedIdentityCredential, account: str, name: str
) -> None:
    token = (await credential.get_token("https://management.azure.com/.default")).token
    path = f"{projects(account)}/{name.replace(' ', '%20')}?api-version=2025-09-01"
    url = standins.addresses["resource-manager"] + path
    status, answer, _ = ask(standins, "PUT", url, body=a_body(), Authorization=f"Bearer {token}")
    assert (status, answer["error"]["code"]) == (400, "InvalidResourceName")


def projects(account: str) -> str:
    return (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.CognitiveServices/"
        f"accounts/{account}/projects"
    )


def a_body() -> Any:
    return {"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {}}


async def test_an_account_has_room_for_250_projects(
    standins: StandIns,
    credential: ManagedIdentityCredential,
    foundry: CognitiveServicesManagementClient,
    account: str,
) -> None:
    headers = {
        "Authorization": (
            f"Bearer {(await credential.get_token('https://management.azure.com/.default')).token}"
        )
    }
    base = standins.addresses["resource-manager"] + projects(account)
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=standins.ca), limit=8)
    throttling = standins.control.options("azure")["throttling"]
    standins.control.set_options("azure", throttling=False)
    try:
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def put(number: int) -> int:
                async with session.put(f"{base}/p{number}?api-version=2025-09-01", json=a_body()) as response:
                    return response.status

            assert set(await asyncio.gather(*(put(number) for number in range(250)))) == {201}
            with pytest.raises(HttpResponseError, match="maximum number of projects"):
                await foundry.projects.begin_create(GROUP, account, "p250", a_project())
            assert await put(0) == 200
    finally:
        standins.control.set_options("azure", throttling=throttling)


async def test_a_deployment_is_made_listed_and_deleted(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    made: Any = await (
        await foundry.deployments.begin_create_or_update(GROUP, account, "chat", a_deployment(), **SOON)
    ).result()
    assert (made.name, made.properties.model.name, made.sku.capacity) == ("chat", "gpt-4.1", 10)
    read: Any = await foundry.deployments.get(GROUP, account, "chat")
    assert read.properties.provisioning_state == "Succeeded"
    assert [found.name async for found in foundry.deployments.list(GROUP, account)] == ["chat"]
    with pytest.raises(HttpResponseError, match="InvalidResourceProperties"):
        await foundry.deployments.begin_create_or_update(
            GROUP, account, "empty", Deployment(properties=DeploymentProperties())
        )
    await (await foundry.deployments.begin_delete(GROUP, account, "chat", **SOON)).result()
    assert [found async for found in foundry.deployments.list(GROUP, account)] == []


async def test_a_connection_hides_its_credentials(
    foundry: CognitiveServicesManagementClient, account: str
) -> None:
    await (await foundry.projects.begin_create(GROUP, account, "team-alpha", a_project(), **SOON)).result()
    at = (GROUP, account, "team-alpha", "gateway")
    properties = {
        "authType": "ApiKey",
        "category": "ApiKey",
        "target": "https://gateway.contoso.com",
        "credentials": {"key": "s3cret"},
    }
    connections, connection = foundry.project_connections, {"properties": properties}
    made: Any = await connections.create(*at, connection=connection)  # type: ignore[call-overload]
    assert (made.name, made.properties.target) == ("gateway", "https://gateway.contoso.com")
    read: Any = await foundry.project_connections.get(*at)
    assert (read.properties.auth_type, read.properties.credentials) == ("ApiKey", None)
    assert [found.name async for found in foundry.project_connections.list(*at[:3])] == ["gateway"]
    await foundry.project_connections.delete(*at)
    with pytest.raises(ResourceNotFoundError):
        await foundry.project_connections.get(*at)
