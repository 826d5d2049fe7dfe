"""Somebody else's objects, named as ours would be and without our marker: whatever happens, nobody touches
them.
"""

from __future__ import annotations

from typing import Any

from azure.identity import ManagedIdentityCredential
from azure.mgmt.apimanagement import ApiManagementClient
from azure.mgmt.apimanagement.models import (
    BackendContract,
    PolicyContract,
    ProductContract,
    SubscriptionCreateParameters,
)
from kubernetes import client as kubernetes

from standins.stack import APIM_ID
from standins.world import SUBSCRIPTION
from tests.chaos.world import AT, observe
from tests.end_to_end.road import Road
from tests.end_to_end.written import GPU

#: The team that the names would be of; there is none.
NAME = "byhand"
_PRODUCT = f"team-{NAME}"
_POLICY = (
    "<policies><inbound><base /></inbound><backend><base /></backend><outbound><base "
    "/></outbound><on-error><base /></on-error></policies>"
)


def owner(road: Road) -> ApiManagementClient:
    """API Management as an owner of the subscription sees it."""
    base, ca = road.stack.addresses["resource-manager"], road.stack.ca
    return ApiManagementClient(
        ManagedIdentityCredential(client_id="operator"), SUBSCRIPTION, base_url=base, connection_verify=ca
    )


def settle_in(road: Road) -> None:
    """Put them there."""
    apim = owner(road)
    product = ProductContract(
        display_name="By hand", description="made by hand", subscription_required=True, state="published"
    )
    apim.product.create_or_update(*AT, _PRODUCT, product)
    apim.product_policy.create_or_update(*AT, _PRODUCT, "policy", PolicyContract(value=_POLICY, format="xml"))
    scope = f"{APIM_ID}/products/{_PRODUCT}"
    apim.subscription.create_or_update(
        *AT, _PRODUCT, SubscriptionCreateParameters(scope=scope, display_name="By hand", state="active")
    )
    apim.backend.create_or_update(
        *AT, f"{_PRODUCT}--phi-4", BackendContract(url="https://byhand.contoso.com", protocol="http")
    )
    road.vault.set_secret(f"{NAME}-primary-key", "by hand", tags={"made": "by hand"})
    kubernetes.CoreV1Api(road.cluster).create_namespace(
        kubernetes.V1Namespace(metadata=kubernetes.V1ObjectMeta(name=_PRODUCT))
    )
    workspace = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "phi-4"},
        "resource": {"instanceType": GPU, "labelSelector": {"matchLabels": {"apps": "by-hand"}}},
        "inference": {"preset": {"name": "phi-4"}},
    }
    kubernetes.CustomObjectsApi(road.cluster).create_namespaced_custom_object(
        "kaito.sh", "v1beta1", _PRODUCT, "workspaces", workspace
    )


def seen(road: Road) -> dict[str, Any]:
    """All that anybody who touched them would change."""
    secret = road.vault.get_secret(f"{NAME}-primary-key")
    (workspace,) = road.workspaces(NAME)
    return {
        **observe(road)[NAME],
        "keys": road.issued_keys(NAME),
        "secret": (secret.value, secret.properties.version, secret.properties.updated_on),
        "tags of versions": [
            road.apim.product.get(*AT, _PRODUCT, cls=_etag),
            road.apim.subscription.get(*AT, _PRODUCT, cls=_etag),
        ],
        "workspace": (workspace["metadata"]["uid"], workspace["metadata"]["generation"]),
    }


def _etag(_: Any, __: Any, headers: Any) -> str:
    return str(headers["ETag"])
