"""What is there, read through the services' public interfaces: one plain value per object, so that two worlds
can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from kubernetes import client as kubernetes

from shared.gateway_api.road import ANNOTATION as ROAD
from standins.stack import APIM_ID, VAULT_ID
from standins.world import SUBSCRIPTION
from tests.end_to_end.road import Road

AT = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]
#: Whose name an object has -> the object's kind and name -> what it says.
World = dict[str, dict[str, Any]]
#: The name that says whose an object is, its kind and name, what it says.
Found = Iterator[tuple[str, str, Any]]
#: The catalogue's objects, and everything that is named after no team.
NOBODY = ""
_OWNERS = re.compile(
    r"team-(?P<a>[a-z0-9]+)(--[a-z0-9-]+)?|(?P<b>[a-z0-9]+)-(primary-key|secondary-key|endpoint)"
)
#: What tells when and by which commit something was written, and not what it is.
_TAGS, _ANNOTATION = {"commit", "fingerprint"}, "mergekey.dev/commit"


def owner(name: str) -> str:
    """The team that an object with this name belongs to."""
    found = _OWNERS.fullmatch(name)
    return NOBODY if found is None else found["a"] or found["b"]


def observe(road: Road) -> World:
    """Everything but the values of keys."""
    world: World = {}
    for each in (_gateway, _vault, _readers, _playground, _cluster):
        for name, what, value in each(road):
            world.setdefault(owner(name), {})[what] = value
    return world


def _gateway(road: Road) -> Found:
    apim: Any = road.apim  # its models say that every name may be None
    for product in apim.product.list_by_service(*AT):
        about = (
            product.display_name,
            str(product.state),
            product.subscription_required,
            product.approval_required,
        )
        yield product.name, f"product {product.name}", (*about, _unsigned(product.description))
        yield product.name, f"policy of {product.name}", _policy(apim, product.name)
    for linked in apim.api_product.list_by_apis(*AT, "ai"):
        yield linked.name, f"link of {linked.name}", "ai"
    for subscription in apim.subscription.list(*AT):
        said = (subscription.scope, subscription.display_name, str(subscription.state))
        yield subscription.scope.rpartition("/products/")[2], f"subscription {subscription.name}", said
    for backend in apim.backend.list_by_service(*AT):
        yield backend.name, f"backend {backend.name}", (backend.url, _unsigned(backend.description))
    yield NOBODY, "api", _unsigned(apim.api.get(*AT, "ai").description)
    yield NOBODY, "policy of the api", apim.api_policy.get(*AT, "ai", "policy", format="rawxml").value


def _policy(apim: Any, product: str) -> str | None:
    try:
        return str(apim.product_policy.get(*AT, product, "policy", format="rawxml").value)
    except ResourceNotFoundError:
        return None


def _unsigned(description: str | None) -> str:
    return re.sub(r"; commit [0-9a-f]+", "", description or "")


def _vault(road: Road) -> Found:
    for secret in road.vault.list_properties_of_secrets():
        tags = {name: value for name, value in (secret.tags or {}).items() if name not in _TAGS}
        yield str(secret.name), f"secret {secret.name}", (secret.enabled, secret.content_type, tags)


def _readers(road: Road) -> Found:
    base, ca = road.stack.addresses["resource-manager"], road.stack.ca
    roles = AuthorizationManagementClient(
        ManagedIdentityCredential(), SUBSCRIPTION, base_url=base, connection_verify=ca
    )
    readers: dict[str, set[str]] = {}
    for role in roles.role_assignments.list_for_scope(VAULT_ID):
        _, on_secret, secret = str(role.scope).rpartition("/secrets/")
        if on_secret:
            readers.setdefault(secret, set()).add(
                f"{role.principal_id} as {role.role_definition_id.rpartition('/')[2]}"
            )
    yield from ((secret, f"readers of {secret}", sorted(found)) for secret, found in readers.items())


def _playground(road: Road) -> Found:
    """Projects but for those that wait for the end of grace; who may use a project counts in any case."""
    for name, project in road.projects().items():
        about, team = project.properties, owner(name)
        if "; withdrawn " not in (about.description or ""):
            said = (
                about.display_name,
                _unsigned(about.description),
                str(about.provisioning_state),
                road.traces_of(team),
            )
            yield name, f"project {name}", said
        if users := sorted(road.users(team)):
            yield name, f"users of project {name}", users


def _cluster(road: Road) -> Found:
    client: Any = road.cluster
    core, network, custom = (
        kubernetes.CoreV1Api(client),
        kubernetes.NetworkingV1Api(client),
        kubernetes.CustomObjectsApi(client),
    )
    for kind, found in (
        ("namespace", core.list_namespace()),
        ("quota", core.list_resource_quota_for_all_namespaces()),
        ("network policy", network.list_network_policy_for_all_namespaces()),
        ("workspace", custom.list_cluster_custom_object("kaito.sh", "v1beta1", "workspaces")),
        ("route", custom.list_cluster_custom_object("gateway.networking.k8s.io", "v1", "httproutes")),
    ):
        yield from (_in_cluster(kind, item) for item in client.sanitize_for_serialization(found)["items"])


def _in_cluster(kind: str, item: dict[str, Any]) -> tuple[str, str, Any]:
    metadata = item["metadata"]
    notes = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != _ANNOTATION}
    if ROAD in notes:  # what it does, not since when
        notes[ROAD] = notes[ROAD].partition(" ")[0]
    says = {part: item[part] for part in ("spec", "resource", "inference") if part in item}
    conditions = {(row["type"], row["status"]) for row in (item.get("status") or {}).get("conditions") or ()}
    going = "deletionTimestamp" in metadata
    home = metadata.get("namespace", metadata["name"])
    return (
        home,
        f"{kind} {metadata['name']} in {home}",
        (metadata.get("labels"), notes, says, sorted(conditions), going),
    )
