"""A gateway of a test's own: what the app compiles and writes, over a real socket into the stand-in, and
calls with a key.
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.api_management import ApiManagement
from shared.catalog.catalog import Catalog
from shared.marker import Marker
from shared.requests.request import AccessRequest
from shared.resources.backends import Backend
from shared.resources.desired import Platform, compile_catalog, compile_gateway
from shared.resources.product import ActualProduct, plan_product
from shared.resources.unified_api_plan import ActualCatalog, plan_catalog
from shared.resources.workspaces import Cluster
from shared.stages.apply import GatewayWriter, apply_plan
from standins.tests.api_management.builders import OPERATOR
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION
from tests.fakes.app import Asked

CLUSTER = Cluster("gateway-system/internal", "https://models.internal.contoso.com")
CHAT = "/openai/v1/chat/completions"
Json = dict[str, Any]


def asking(*models: str, of: Catalog, **terms: Any) -> AccessRequest:
    """A request of team alpha for models of the catalogue, by name; `terms` are other fields of
    `AccessRequest`.
    """
    from shared.requests.request import ModelAccess

    granted = tuple(
        ModelAccess(model.name, model.provider, None, None, None)
        for model in of.models
        if model.name in models
    )
    return replace(Asked().read(), **{"models": granted, **terms})


def saying(text: str, model: str | None = None, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": text}], **({"model": model} if model else {}), **more}


class Room:
    """An API Management service that nobody else uses, its gateway, and the servers behind it."""

    def __init__(self, standins: StandIns, credential: ManagedIdentityCredential) -> None:
        self.standins = standins
        self.name = f"gw-{uuid.uuid4().hex[:10]}"
        self.service = (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai/providers/Microsoft.ApiManagement/service/"
            f"{self.name}"
        )
        self.credential = credential
        self.writer = ApiManagement(self.service, standins.addresses["resource-manager"], credential)
        self.platform = Platform(1, standins.addresses["gateway"], CLUSTER, standins.addresses["key-vault"])
        self.http = httpx.AsyncClient(
            base_url=standins.addresses["gateway"],
            verify=ssl.create_default_context(cafile=standins.ca),
            timeout=20,
        )

    async def close(self) -> None:
        await self.http.aclose()
        await self.writer.close()

    async def models(self, catalog: Catalog) -> None:
        """What the app writes for a catalogue."""
        desired = compile_catalog(catalog, self.platform)
        marker = Marker(1, "catalogue", "catalog.yaml", "c0ffee", desired.digest)
        plan = plan_catalog(desired, marker, ActualCatalog(None, None, ())).writable()
        await apply_plan(plan, GatewayWriter(self.writer, marker))

    async def team(self, request: AccessRequest, catalog: Catalog) -> str:
        """What the app writes for a team; its first key."""
        desired = compile_gateway(request, catalog, self.platform)
        marker = Marker(1, request.team, "access.yaml", "c0ffee", desired.digest)
        await apply_plan(
            plan_product(desired, marker, ActualProduct(None, None, backends=())).writable(),
            GatewayWriter(self.writer, marker),
        )
        product = f"team-{request.team}"
        return await self.subscription(product, f"/products/{product}")

    async def put_right(self, request: AccessRequest, catalog: Catalog) -> None:
        """What the app's stage writes for a team that is there already."""
        name = f"team-{request.team}"
        desired = compile_gateway(request, catalog, self.platform)
        marker = Marker(1, request.team, "access.yaml", "c0ffee", desired.digest)
        actual = ActualProduct(
            await self.writer.product(name),
            await self.writer.product_policy(name),
            backends=await self.writer.backends(f"{name}--"),
        )
        await apply_plan(plan_product(desired, marker, actual).writable(), GatewayWriter(self.writer, marker))

    async def subscription(self, name: str, scope: str) -> str:
        from azure.mgmt.apimanagement.models import SubscriptionCreateParameters

        body = SubscriptionCreateParameters(scope=scope, display_name=name, state="active")
        await self.writer._client.subscription.create_or_update("ai", self.name, name, body)
        return (await self.writer.keys(name))[0].reveal()

    async def backend(self, backend: Backend) -> None:
        await self.writer.put_backend(backend, Marker(1, "catalogue", "catalog.yaml", "c0ffee"), None)

    async def post(self, key: str | None, body: Any, path: str = CHAT, **headers: str) -> httpx.Response:
        """Underscores of header names are dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json=body, headers={**sent, **({"api-key": key} if key else {})})

    def metrics(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.standins.control.report("gateway")["metrics"]
        return found

    def log(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.standins.control.report("gateway")["log"]
        return found

    def served(self) -> Mapping[str, int]:
        """Calls by host and path of the model servers."""
        return dict(self.standins.control.report("models")["served"])

    def findings(self) -> Sequence[Mapping[str, str]]:
        """What reached a model server and must not."""
        return list(self.standins.control.report("models")["findings"])

    def trouble(self, host: str, **options: Any) -> None:
        """The next calls of this host fail; by default once."""
        self.standins.control.fault("models", f"POST .* {host}", **options)


__all__ = ["CHAT", "OPERATOR", "Room", "asking", "saying"]
