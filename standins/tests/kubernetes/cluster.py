"""Clients of the Kubernetes stand-in, the way a Function makes them: server, CA and a bearer token, no
kubeconfig.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from standins.control import Control
from standins.tests.plugin import StandIns

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
KAITO, ADD_ON = ("kaito.sh", "v1beta1"), ("kaito.sh", "v1alpha1")
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"
MINUTE = 60
Manifest = dict[str, Any]


@dataclass
class Cluster:
    """Clients of the cluster, and one namespace of the test's own.

    Any, because the client's types say that every field of an answer may be absent, and nothing of custom
    objects.
    """

    api: Any
    namespace: str = field(default_factory=lambda: f"team-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.core: Any = client.CoreV1Api(self.api)
        self.network: Any = client.NetworkingV1Api(self.api)
        self.custom: Any = client.CustomObjectsApi(self.api)
        self.rights: Any = client.RbacAuthorizationV1Api(self.api)

    @property
    def workspaces(self) -> tuple[str, str, str, str]:
        """Where they are, for the calls of CustomObjectsApi."""
        return (*KAITO, self.namespace, "workspaces")

    async def apply(
        self, manifest: Manifest, manager: str = "mergekey", force: bool = True, **options: Any
    ) -> Any:
        """Apply a Workspace; None when it was created, since the client does not read a 201 of a custom
        object.
        """
        group, version = manifest["apiVersion"].split("/")
        path = (group, version, self.namespace, "workspaces", manifest["metadata"]["name"])
        options = {"field_manager": manager, "force": force, "_content_type": APPLY, **options}
        return await self.custom.patch_namespaced_custom_object(*path, manifest, **options)

    async def workspace(self, name: str = "phi-4", version: str = "v1beta1") -> Any:
        return await self.custom.get_namespaced_custom_object(
            "kaito.sh", version, self.namespace, "workspaces", name
        )

    async def patch(self, patch: Any, content_type: str = MERGE, **options: Any) -> Any:
        """Patch the Workspace phi-4."""
        return await self.custom.patch_namespaced_custom_object(
            *self.workspaces, "phi-4", patch, _content_type=content_type, **options
        )

    async def delete_workspace(self, name: str = "phi-4", **options: Any) -> Any:
        return await self.custom.delete_namespaced_custom_object(*self.workspaces, name, **options)

    async def let_go(self, name: str) -> Any:
        """Take all finalizers off, as if KAITO had done its part."""
        patch: Manifest = {"metadata": {"finalizers": None}}
        return await self.custom.patch_namespaced_custom_object(
            *self.workspaces, name, patch, _content_type=MERGE
        )

    async def apply_quota(self, count: int | str) -> Any:
        hard = {"count/workspaces.kaito.sh": str(count)}
        manifest = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "workspaces"},
            "spec": {"hard": hard},
        }
        path = ("workspaces", self.namespace, manifest)
        return await self.core.patch_namespaced_resource_quota(
            *path, field_manager="mergekey", force=True, _content_type=APPLY
        )

    async def raw(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers and JSON of a request that the client has no method for."""
        accept = {"Accept": "application/json", "Content-Type": "application/json"}
        prepared = await self.api.param_serialize(
            method,
            path,
            header_params={**accept, **(headers or {})},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self.api.call_api(*prepared)
        return response.status, response.headers, json.loads(await response.read())


def a_workspace(name: str = "phi-4", version: str = "v1beta1", **changes: Any) -> Manifest:
    """A manifest as the app writes it; `changes` replace `resource`, `inference` or `metadata` parts, None
    removes them.
    """
    manifest: Manifest = {
        "apiVersion": f"kaito.sh/{version}",
        "kind": "Workspace",
        "metadata": {"name": name, "labels": {"mergekey.dev/team": "alpha"}},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": {"preset": {"name": "phi-4"}},
    }
    return {key: part for key, part in (manifest | changes).items() if part is not None}


def labelled(name: str = "phi-4", **labels: str) -> Manifest:
    return a_workspace(name, metadata={"name": name, "labels": labels})


def conditions(workspace: Any) -> dict[str, tuple[str, str]]:
    """Status and reason by type, in the order in which they are shown."""
    return {row["type"]: (row["status"], row["reason"]) for row in workspace["status"]["conditions"]}


def refused(code: int, reason: str | None, text: str = "") -> Any:
    """The context in which a call must fail with this code, reason and text of a Kubernetes `Status`."""

    def matches(error: ApiException) -> bool:
        status = json.loads(error.body or "{}")
        return (error.status, status["kind"], status.get("reason")) == (
            code,
            "Status",
            reason,
        ) and text in status["message"]

    return pytest.RaisesExc(ApiException, check=matches)


@contextmanager
def options(control: Control, **changed: Any) -> Iterator[None]:
    """Options of the cluster, for a while: all tests share it."""
    before = control.options("kubernetes")
    control.set_options("kubernetes", **changed)
    try:
        yield
    finally:
        control.set_options("kubernetes", **{name: before[name] for name in changed})


async def token(standins: StandIns, resource: str = AKS, client_id: str | None = None) -> str:
    """Of the app's identity, or of another one."""
    url = f"{standins.addresses['identity']}/msi/token?resource={resource}&api-version=2019-08-01"
    url += f"&client_id={client_id}" if client_id else ""
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"X-IDENTITY-HEADER": "local-identity-header"}) as response,
    ):
        return str((await response.json())["access_token"])


@asynccontextmanager
async def connected(standins: StandIns, bearer: str) -> AsyncIterator[Cluster]:
    configuration = client.Configuration(
        host=standins.addresses["kubernetes"], api_key={"BearerToken": f"Bearer {bearer}"}
    )
    configuration.ssl_ca_cert = standins.ca
    async with client.ApiClient(configuration) as api:
        yield Cluster(api)


@asynccontextmanager
async def with_namespace(standins: StandIns) -> AsyncIterator[Cluster]:
    """The app's clients and a namespace that the app applied."""
    async with connected(standins, await token(standins)) as cluster:
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": cluster.namespace, "annotations": {"a": "1"}},
        }
        await cluster.core.patch_namespace(
            cluster.namespace, manifest, field_manager="mergekey", force=True, _content_type=APPLY
        )
        yield cluster
