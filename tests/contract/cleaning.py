"""Removing what contract tests made at real services: everything whose name begins with `targets.PREFIX`, of
this run and of older ones.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.apimanagement.aio import ApiManagementClient
from azure.mgmt.authorization.aio import AuthorizationManagementClient
from azure.mgmt.cognitiveservices.aio import CognitiveServicesManagementClient
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import OperationTimeoutError

from shared.messaging.routes import DEAD_LETTERS, STAGES, TOPIC, Stage
from shared.names import API, FRAGMENT
from tests.contract.targets import PREFIX, Targets, named

_ARM_SCOPE = "https://management.azure.com/.default"
#: Messages in one call, and sessions of one stage at a time: opening and closing a session takes the SDK a
#: second.
_MOST, _AT_ONCE = 200, 4


async def clean(targets: Targets, credential: AsyncTokenCredential) -> None:
    """Clean every real target; stand-ins forget by themselves."""
    for port in sorted(targets.real):
        await _CLEANERS[port](targets, credential)


async def _gateway(targets: Targets, credential: AsyncTokenCredential) -> None:
    parts = targets.apim_service_id.strip("/").split("/")
    at = (parts[3], parts[7])
    async with ApiManagementClient(
        credential, parts[1], base_url=targets.resource_manager, credential_scopes=[_ARM_SCOPE]
    ) as client:
        for product in [str(each.name) async for each in client.product.list_by_service(*at)]:
            if product.startswith(f"team-{PREFIX}"):
                await client.product.delete(*at, product, if_match="*", delete_subscriptions=True)
        for api in [str(each.name) async for each in client.api.list_by_service(*at)]:
            if api == API or api.startswith(PREFIX):
                await (await client.api.begin_delete(*at, api, if_match="*")).wait()
        for backend in [str(each.name) async for each in client.backend.list_by_service(*at)]:
            if PREFIX in backend or backend.startswith("shared--"):
                await client.backend.delete(*at, backend, if_match="*")
        await client.policy_fragment.delete(*at, FRAGMENT, if_match="*")


async def _vault(targets: Targets, credential: AsyncTokenCredential) -> None:
    checked = {"verify_challenge_resource": targets.key_vault_verify_challenge}
    async with SecretClient(targets.key_vault_url, credential, **checked) as client:
        for name in {str(each.name) async for each in client.list_properties_of_secrets()}:
            if name.startswith(PREFIX):
                await client.delete_secret(name)


async def _roles(targets: Targets, credential: AsyncTokenCredential) -> None:
    subscription = targets.key_vault_id.split("/")[2]
    options: dict[str, Any] = {"base_url": targets.resource_manager, "credential_scopes": [_ARM_SCOPE]}
    async with AuthorizationManagementClient(credential, subscription, **options) as client:
        for found in [each async for each in client.role_assignments.list_for_scope(targets.key_vault_id)]:
            if f"/secrets/{PREFIX}" in found.scope:
                await client.role_assignments.delete_by_id(found.id)


async def _projects(targets: Targets, credential: AsyncTokenCredential) -> None:
    parts = targets.foundry_account_id.strip("/").split("/")
    options: dict[str, Any] = {"base_url": targets.resource_manager, "credential_scopes": [_ARM_SCOPE]}
    async with AuthorizationManagementClient(credential, parts[1], **options) as client:
        for found in [
            each async for each in client.role_assignments.list_for_scope(targets.foundry_account_id)
        ]:
            if f"/projects/team-{PREFIX}" in found.scope:
                await client.role_assignments.delete_by_id(found.id)
    async with CognitiveServicesManagementClient(credential, parts[1], **options) as foundry:
        for project in [
            str(each.name).rpartition("/")[2] async for each in foundry.projects.list(parts[3], parts[7])
        ]:
            if project.startswith(f"team-{PREFIX}"):
                await (await foundry.projects.begin_delete(parts[3], parts[7], project)).wait()


async def _cluster(targets: Targets, credential: AsyncTokenCredential) -> None:
    from shared.adapters.kaito import KaitoCluster

    cluster = KaitoCluster(targets.aks_cluster_id, targets.resource_manager, credential)
    for namespace in await cluster.namespaces():
        if namespace.name.startswith(f"team-{PREFIX}"):
            await cluster.delete_namespace(namespace.name, namespace.resource_version)
    await cluster.close()


async def _bus(targets: Targets, _: AsyncTokenCredential) -> None:
    """Sessions cannot be asked for by their beginning: these entities are emptied, as the setting says."""
    async with ServiceBusClient.from_connection_string(targets.service_bus, retry_total=0) as client:
        await asyncio.gather(*(_empty(client, stage) for stage in STAGES for _ in range(_AT_ONCE)))
        async with client.get_queue_receiver(
            DEAD_LETTERS, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
        ) as receiver:
            while await receiver.receive_messages(200, max_wait_time=1):
                pass


async def _empty(client: ServiceBusClient, stage: Stage) -> None:
    """Empty one session after the other until there is none."""
    names = (TOPIC, stage.name) if stage.entity == TOPIC else (stage.entity,)
    make: Any = client.get_subscription_receiver if stage.entity == TOPIC else client.get_queue_receiver
    options = {
        "session_id": NEXT_AVAILABLE_SESSION,
        "receive_mode": ServiceBusReceiveMode.RECEIVE_AND_DELETE,
        "max_wait_time": 2,
    }
    with suppress(OperationTimeoutError):
        while True:
            async with make(*names, **options) as receiver:
                while len(await receiver.receive_messages(_MOST, max_wait_time=1)) == _MOST:
                    pass


async def _repository(_: Targets, __: AsyncTokenCredential) -> None:
    await asyncio.to_thread(_delete_branches, named().git_url)


def _delete_branches(url: str) -> None:
    listed = subprocess.run(
        ["git", "ls-remote", "--heads", url, f"refs/heads/{PREFIX}*"],
        check=True,
        capture_output=True,
        text=True,
    )
    if branches := [line.split()[1] for line in listed.stdout.splitlines()]:
        subprocess.run(["git", "push", "--quiet", url, "--delete", *branches], check=True)


_CLEANERS: Mapping[str, Callable[[Targets, AsyncTokenCredential], Awaitable[None]]] = {
    "gateway": _gateway,
    "vault": _vault,
    "roles": _roles,
    "cluster": _cluster,
    "projects": _projects,
    "bus": _bus,
    "repository": _repository,
}
