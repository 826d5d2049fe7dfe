"""API Management, api-version 2024-05-01: https://learn.microsoft.com/rest/api/apimanagement

One client per process. Updates and deletions carry the ETag that was read. Creating a link locks the API, so
links to one API are created one at a time here; a lock of another client (409) is `Busy`.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from shared.adapters.answers import instance, text
from shared.adapters.api_management_backends import SYSTEM, Backends
from shared.adapters.api_management_contracts import (
    FRAGMENT_DESCRIPTION,
    REQUIRE_SUBSCRIPTION,
    api_of,
    fragment_of,
    product_of,
    require_keys,
)
from shared.adapters.azure_sdk import (
    TIMEOUT,
    OperationTimeout,
    ResourceId,
    all_rows,
    resource_manager_options,
    wait_for_operation,
)
from shared.adapters.sharing import NextFlight
from shared.adapters.translate import require_parent, understood
from shared.marker import Marker
from shared.names import API
from shared.policies.policy_xml import digest_of
from shared.policies.product_policy import granted_by
from shared.ports import Keys
from shared.resources.actual import Api, Fragment, Policy, Product, Subscription
from shared.resources.bearer import BEARER_PATH, KEY_NAMES_OF, BearerKeys
from shared.resources.desired import DesiredCatalog
from shared.resources.unified_api import KEY_NAMES, PATH
from shared.secret import SecretValue

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

V = TypeVar("V")

#: The version that the SDK speaks, and the one whose contracts of APIs may have the field `bearer`.
VERSION, NATIVE_VERSION = "2024-05-01", "2025-03-01-preview"


class ApiManagement(Backends):
    """One API Management service. `service_id` is its Azure resource id, `resource_manager` the endpoint of
    Azure Resource Manager.
    """

    def __init__(
        self,
        service_id: str,
        resource_manager: str,
        credential: AsyncTokenCredential,
        patience: OperationTimeout = TIMEOUT,
    ) -> None:
        from azure.mgmt.apimanagement.aio import ApiManagementClient

        service = ResourceId.of(service_id)
        client = ApiManagementClient(
            credential, service.subscription, **resource_manager_options(SYSTEM, resource_manager)
        )
        super().__init__(client, service_id, (service.group, service.name), patience)
        self._linking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._lists: NextFlight[list[Product]] = NextFlight()

    async def product(self, name: str) -> Product | None:
        return await self._find(self._client.product.get(*self._at, name, cls=_with_etag), product_of)

    async def products(self) -> list[Product]:
        """Concurrent callers share one list, which begins after they asked."""
        return await self._lists.share(self._products)

    async def _products(self) -> list[Product]:
        with understood(SYSTEM):
            return [
                product_of(found, "*")
                for found in await all_rows(SYSTEM, self._client.product.list_by_service(*self._at))
            ]

    async def create_product(self, name: str, display_name: str, marker: Marker) -> str:
        from azure.mgmt.apimanagement.models import ProductContract

        body = ProductContract(
            display_name=display_name, description=str(marker), state="notPublished", **REQUIRE_SUBSCRIPTION
        )
        with understood(SYSTEM):
            return _etag(await self._client.product.create_or_update(*self._at, name, body, cls=_with_etag))

    async def publish_product(self, name: str, etag: str, display_name: str, marker: Marker) -> None:
        from azure.mgmt.apimanagement.models import ProductUpdateParameters

        body = ProductUpdateParameters(
            display_name=display_name, description=str(marker), state="published", **REQUIRE_SUBSCRIPTION
        )
        with understood(SYSTEM):
            await self._client.product.update(*self._at, name, etag, body)

    async def mark_product(self, name: str, etag: str, marker: Marker) -> str:
        from azure.mgmt.apimanagement.models import ProductUpdateParameters

        body = ProductUpdateParameters(description=str(marker))
        with understood(SYSTEM):
            marked: Any = await self._client.product.update(*self._at, name, etag, body, cls=_with_etag)
        return str(marked[1])

    async def require_subscription(self, name: str, etag: str) -> str:
        from azure.mgmt.apimanagement.models import ProductUpdateParameters

        with understood(SYSTEM):
            return _etag(
                await self._client.product.update(
                    *self._at, name, etag, ProductUpdateParameters(**REQUIRE_SUBSCRIPTION), cls=_with_etag
                )
            )

    async def delete_product(self, name: str, etag: str) -> None:
        with understood(SYSTEM):
            await self._client.product.delete(*self._at, name, etag)

    async def product_policy(self, product: str) -> Policy | None:
        return await self._find(
            self._client.product_policy.get(*self._at, product, "policy", format="xml", cls=_with_etag),
            _product_policy,
        )

    async def put_product_policy(self, product: str, policy: str, etag: str | None) -> None:
        from azure.mgmt.apimanagement.models import PolicyContract

        with understood(SYSTEM):
            body = PolicyContract(value=policy, format="xml")
            await self._client.product_policy.create_or_update(
                *self._at, product, "policy", body, if_match=etag
            )

    async def link_product(self, product: str, api: str) -> None:
        async with self._linking[api]:
            with understood(SYSTEM):
                await self._client.product_api.create_or_update(*self._at, product, api)

    async def unlink_product(self, product: str, api: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM), suppress(ResourceNotFoundError):
            await self._client.product_api.delete(*self._at, product, api)

    async def is_linked(self, product: str, api: str) -> bool:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                return bool(await self._client.product_api.check_entity_exists(*self._at, product, api))
            except ResourceNotFoundError:
                return False

    async def linked_products(self, api: str) -> frozenset[str]:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                return frozenset(
                    text(found.name)
                    for found in await all_rows(SYSTEM, self._client.api_product.list_by_apis(*self._at, api))
                )
            except ResourceNotFoundError:
                return frozenset()

    async def subscriptions(self) -> list[Subscription]:
        with understood(SYSTEM):
            return [
                _subscription(found, "*")
                for found in await all_rows(SYSTEM, self._client.subscription.list(*self._at))
            ]

    async def product_subscriptions(self, product: str) -> list[Subscription]:
        with understood(SYSTEM):
            listed = self._client.product_subscriptions.list(*self._at, product)
            return [_subscription(found, "*") for found in await all_rows(SYSTEM, listed)]

    async def subscription(self, name: str) -> Subscription | None:
        return await self._find(self._client.subscription.get(*self._at, name, cls=_with_etag), _subscription)

    async def put_subscription(
        self, name: str, product: str, display_name: str, etag: str | None, keys: Keys | None = None
    ) -> Keys | None:
        from azure.mgmt.apimanagement.models import SubscriptionCreateParameters

        body = SubscriptionCreateParameters(
            scope=f"/products/{product}",
            display_name=display_name,
            state="active",
            allow_tracing=False,
            **_written(keys),
        )
        with understood(SYSTEM):
            return _keys(
                await self._client.subscription.create_or_update(*self._at, name, body, if_match=etag)
            )

    async def suspend_subscription(self, name: str, etag: str) -> None:
        from azure.mgmt.apimanagement.models import SubscriptionUpdateParameters

        with understood(SYSTEM):
            await self._client.subscription.update(
                *self._at, name, etag, SubscriptionUpdateParameters(state="suspended")
            )

    async def keys(self, subscription: str) -> Keys:
        with understood(SYSTEM):
            keys = _keys(await self._client.subscription.list_secrets(*self._at, subscription))
            assert keys is not None, "listSecrets answers with both keys"
            return keys

    async def put_keys(self, subscription: str, keys: Keys) -> None:
        from azure.mgmt.apimanagement.models import SubscriptionUpdateParameters

        primary, secondary = keys
        body = SubscriptionUpdateParameters(primary_key=primary.reveal(), secondary_key=secondary.reveal())
        with understood(SYSTEM):
            await self._client.subscription.update(*self._at, subscription, "*", body)

    async def regenerate_key(self, subscription: str, which: int) -> None:
        operations = self._client.subscription
        regenerate = (operations.regenerate_primary_key, operations.regenerate_secondary_key)[which]
        with understood(SYSTEM):
            await regenerate(*self._at, subscription)

    async def delete_subscription(self, name: str, etag: str) -> None:
        with understood(SYSTEM):
            await self._client.subscription.delete(*self._at, name, etag)

    async def api(self, name: str) -> Api | None:
        return await self._find(self._client.api.get(*self._at, name, cls=_with_etag), api_of)

    async def put_api(self, name: str, desired: DesiredCatalog, marker: Marker, etag: str | None) -> None:
        """Imports the operations: the one slow write there is. The digest of what was imported stays at the
        revision.
        """
        from azure.mgmt.apimanagement.models import ApiCreateOrUpdateParameter

        title, path = ("AI models", PATH) if name == API else ("AI models, bearer keys", BEARER_PATH)
        where = KEY_NAMES if name == API else KEY_NAMES_OF[desired.bearer or "native"]
        body = ApiCreateOrUpdateParameter(
            display_name=title,
            description=str(marker),
            api_revision_description=desired.api_digest,
            path=path,
            protocols=["https"],
            format="openapi+json",
            value=json.dumps(desired.api),
            **require_keys(where),
        )
        with understood(SYSTEM):
            await wait_for_operation(
                SYSTEM,
                self._patience,
                self._client.api.begin_create_or_update,
                *self._at,
                name,
                body,
                if_match=etag,
            )

    async def api_policy(self, name: str) -> Policy | None:
        return await self._find(
            self._client.api_policy.get(*self._at, name, "policy", format="xml", cls=_with_etag), _policy
        )

    async def put_api_policy(self, name: str, policy: str, etag: str | None) -> None:
        from azure.mgmt.apimanagement.models import PolicyContract

        with understood(SYSTEM):
            body = PolicyContract(value=policy, format="xml")
            await self._client.api_policy.create_or_update(*self._at, name, "policy", body, if_match=etag)

    async def fragment(self, name: str) -> Fragment:
        call = self._client.policy_fragment.get(*self._at, name, format="xml", cls=_with_etag)
        return await self._find(call, fragment_of) or Fragment()

    async def put_fragment(self, name: str, text: str) -> None:
        from azure.mgmt.apimanagement.models import PolicyFragmentContract

        with understood(SYSTEM):
            body = PolicyFragmentContract(value=text, format="xml", description=FRAGMENT_DESCRIPTION)
            await wait_for_operation(
                SYSTEM,
                self._patience,
                self._client.policy_fragment.begin_create_or_update,
                *self._at,
                name,
                body,
            )

    async def mark_api(self, name: str, marker: Marker) -> None:
        from azure.mgmt.apimanagement.models import ApiUpdateContract

        with understood(SYSTEM):
            await self._client.api.update(
                *self._at, name, "*", ApiUpdateContract(description=str(marker), **require_keys())
            )

    async def mark_bearer_api(self, name: str, keys: BearerKeys) -> None:
        """The native way's field is in no published description: the SDK's models would drop it."""
        header, query = KEY_NAMES_OF[keys.way]
        names: dict[str, str] = {"header": header, "query": query}
        if keys.way == "native":
            names["bearer"] = "enabled"
        properties = {
            "description": str(keys.marker),
            "subscriptionRequired": True,
            "subscriptionKeyParameterNames": names,
        }
        with understood(SYSTEM):
            await self._send("PATCH", name, NATIVE_VERSION if keys.way == "native" else VERSION, properties)

    async def takes_bearer(self, name: str) -> bool:
        with understood(SYSTEM):
            properties = await self._send("GET", name, NATIVE_VERSION)
            names = instance(dict, properties.get("subscriptionKeyParameterNames") or {})
            return str(names.get("bearer", "")).lower() == "enabled"

    async def _send(
        self, method: str, api: str, version: str, properties: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request about an API in another version, through the client's own pipeline. Returns the
        properties in the answer.
        """
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest

        request = HttpRequest(
            method,
            f"{self._service_id}/apis/{quote(api)}",
            params={"api-version": version},
            headers={"Accept": "application/json", **({"If-Match": "*"} if properties else {})},
            json={"properties": properties} if properties else None,
        )
        response = await self._client._send_request(request)
        if response.status_code >= 300:
            raise HttpResponseError(response=response)
        return instance(dict, instance(dict, response.json()).get("properties") or {})

    async def delete_api(self, name: str, etag: str) -> None:
        with understood(SYSTEM):
            await wait_for_operation(
                SYSTEM,
                self._patience,
                self._client.api.begin_delete,
                *self._at,
                name,
                if_match=etag,
                delete_revisions=True,
            )

    async def _find(self, call: Awaitable[Any], read: Callable[[Any, str], V]) -> V | None:
        """Read the object and its ETag with `read`; None when it is absent."""
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                contract, etag = await call  # as `_with_etag` gives them
            except ResourceNotFoundError as error:
                require_parent(error)
                return None
            text(contract.name)  # everything of Resource Manager has one
            return read(contract, etag)

    async def close(self) -> None:
        await self._client.close()


def _with_etag(response: Any, contract: Any, headers: Any) -> tuple[Any, str]:
    """A response handler for the SDK, whose models have no ETag: returns it with the object."""
    return contract, str(headers.get("ETag") or response.http_response.headers.get("ETag", "*"))


def _etag(written: Any) -> str:
    """The ETag of a written object, from the response."""
    contract, etag = written
    text(contract.name)
    return str(etag)


def _policy(contract: Any, etag: str) -> Policy:
    return Policy(etag, digest_of(text(contract.value)))


def _product_policy(contract: Any, etag: str) -> Policy:
    said = text(contract.value)
    return Policy(etag, digest_of(said), granted_by(said))


def _subscription(contract: Any, etag: str) -> Subscription:
    scope, owner = text(contract.scope).split("/"), (contract.owner_id or "").split("/")
    product = scope[-1] if len(scope) > 1 and scope[-2] == "products" else ""
    return Subscription(
        text(contract.name), etag, contract.display_name or "", product, owner[-1], text(contract.state)
    )


def _written(keys: Keys | None) -> dict[str, str]:
    if keys is None:
        return {}
    return {"primary_key": keys[0].reveal(), "secondary_key": keys[1].reveal()}


def _keys(answer: Any) -> Keys | None:
    if not (answer.primary_key and answer.secondary_key):
        return None
    return SecretValue(answer.primary_key), SecretValue(answer.secondary_key)
