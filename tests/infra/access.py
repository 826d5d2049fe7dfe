"""The table of roles, `infra/roles.json` with `infra/kubernetes/rbac.yaml`, carried out at the stand-ins and
compared with what was used there.
"""

from __future__ import annotations

import json
import re
import ssl
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import yaml

from standins.identity import IDENTITY_HEADER, principal
from standins.resource_manager.conditions import matches
from standins.resource_manager.role_definitions import BUILT_IN
from standins.stack import APIM_ID, CLUSTER_ID, FOUNDRY_ID, TRACES_ID, VAULT_ID, Stack, ask
from standins.world import SUBSCRIPTION, Right
from tests.conftest import ROOT

TABLE: Mapping[str, Any] = json.loads((ROOT / "infra" / "roles.json").read_text())
ENTITIES = json.loads((ROOT / "infra" / "service-bus.json").read_text())
#: Where the stand-ins check roles, by the name of the place in the table.
PLACES = {
    "api_management": APIM_ID,
    "teams_vault": VAULT_ID,
    "playground": FOUNDRY_ID,
    "traces": TRACES_ID,
    "cluster": CLUSTER_ID,
}
#: The entities of Service Bus, by the name of the place in the table.
BUS = {
    "topics": tuple(ENTITIES["topics"]),
    "queues": tuple(ENTITIES["queues"]),
    "sweeps": ("sweeps",),
    "dead_letters": ("dead-letters",),
    "subscriptions": tuple(
        f"{topic}/{name}" for topic, entity in ENTITIES["topics"].items() for name in entity["subscriptions"]
    ),
}
CLAIMS = {"Azure Service Bus Data Sender": "Send", "Azure Service Bus Data Receiver": "Listen"}
_SCOPE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization"
_VERSION = "api-version=2022-04-01"
_SECRETS = "Microsoft.KeyVault/vaults/secrets/"


@dataclass(frozen=True, order=True)
class Allowed:
    """Something that an identity may do: an action, a claim, a verb with its resource; and where."""

    at: str
    needed: str


def client_id(who: str) -> str:
    """The client id under which an identity of the table signs in at the stand-ins."""
    return f"mergekey-{who}"


def assignments(who: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and row of everything that was given, to one or to all."""
    for name, row in TABLE["assignments"].items():
        if who in (None, row["who"]):
            yield name, row


def by_the_table(who: str) -> set[Allowed]:
    """What an identity may do by our own roles, the roles of Service Bus and the rules of the cluster, each
    action by itself.
    """
    found = set[Allowed]()
    for _, row in assignments(who):
        if row["at"] in BUS:
            found |= {Allowed(f"bus {entity}", CLAIMS[row["role"]]) for entity in BUS[row["at"]]}
        own = TABLE["own_roles"].get(row["role"], {"actions": (), "data_actions": ()})
        found |= {Allowed(row["at"], action) for action in (*own["actions"], *own["data_actions"])}
        if row["at"] == "cluster":
            found |= {Allowed("inside the cluster", rule) for rule in cluster_rules(who)}
    return found


def by_built_in_roles(who: str) -> set[Allowed]:
    """What it may do besides: patterns of actions of the roles that Azure brings along."""
    names = dict(BUILT_IN.values())
    return {
        Allowed(row["at"], action)
        for _, row in assignments(who)
        if row["at"] in PLACES and row["role"] in names
        for action in names[row["role"]]["actions"]
    }


def cluster_rules(who: str) -> set[str]:
    """Verb and resource of every rule for an identity inside the cluster."""
    name = "mergekey" if who == "workers" else f"mergekey-{who}"
    role = next(role for role in _cluster_roles() if role["metadata"]["name"] == name)
    return {
        f"{verb} {'/'.join(filter(None, (group, resource)))}"
        for rule in role["rules"]
        for verb, group, resource in product(rule["verbs"], rule["apiGroups"], rule["resources"])
    }


def _cluster_roles() -> Iterator[Mapping[str, Any]]:
    for file in (ROOT / "infra" / "kubernetes").glob("*.yaml"):
        for document in yaml.safe_load_all(with_pod_logs(file.read_text())):
            if document["kind"] == "ClusterRole":
                yield document


def with_pod_logs(text: str) -> str:
    """A file of roles with the rule that is commented out in it."""
    return re.sub(r"^  #(- |  )", r"  \1", text, flags=re.MULTILINE)


def of_the_github_app() -> Mapping[str, str]:
    """The level of each permission of the App in its manifest."""
    manifest = json.loads((ROOT / "infra" / "github-app.json").read_text())
    levels: Mapping[str, str] = manifest["default_permissions"]
    return levels


def used_at_github(rights: Iterable[Right]) -> Mapping[str, str]:
    """The highest level of each permission that the App needed."""
    ours = (right.needed for right in rights if right.who.startswith("installation "))
    return dict(sorted((permission, level) for permission, _, level in (one.partition(" ") for one in ours)))


def used(rights: Iterable[Right], who: str) -> set[Allowed]:
    """What an identity needed at the stand-ins."""
    names = {client_id(who), principal(client_id(who))}
    return {_of(right) for right in rights if right.who in names}


def _of(right: Right) -> Allowed:
    if right.server == "service-bus":
        return Allowed(f"bus {_entity(right.where)}", right.needed)
    if right.server == "kubernetes":
        return Allowed("inside the cluster", right.needed)
    if right.server == "key-vault":
        return Allowed("teams_vault", right.needed)
    return Allowed(_place(right.where), right.needed)


def _entity(path: str) -> str:
    """The queue or subscription that a path is of."""
    bare = re.sub(r"/\$deadletterqueue$", "", path, flags=re.IGNORECASE)
    return re.sub("/subscriptions/", "/", bare, flags=re.IGNORECASE)


def _place(scope: str) -> str:
    """The place of the table that a scope is in; the scope itself where it is in none."""
    inside = (name for name, id_ in PLACES.items() if f"{scope}/".lower().startswith(f"{id_}/".lower()))
    return next(inside, scope)


def covered(wanted: Allowed, patterns: Iterable[Allowed]) -> bool:
    return any(one.at == wanted.at and matches(one.needed, wanted.needed) for one in patterns)


def give(stack: Stack) -> None:
    """Give every identity at Resource Manager, the vault and the cluster what the table says, and nothing
    else.
    """
    keys = {client_id(who): {"key": "local", "claims": ["Send", "Listen"]} for who in identities()}
    local = stack.control.options("service-bus")["shared_access_keys"]["local"]
    stack.control.set_options("service-bus", shared_access_keys={"local": local, **keys})
    for name, row in assignments():
        if row["at"] in PLACES:
            _assign(stack, name, row)


def identities() -> set[str]:
    """The app's identities."""
    return {row["who"] for _, row in assignments()} - {"gateway", "publisher"}


def _assign(stack: Stack, name: str, row: Mapping[str, Any]) -> None:
    own = TABLE["own_roles"].get(row["role"])
    role = next((id_ for id_, (built_in, _) in BUILT_IN.items() if built_in == row["role"]), "")
    if own is not None:
        role = _id(row["role"])
        permission = {"actions": own["actions"], "dataActions": own["data_actions"]}
        properties = {"roleName": row["role"], "type": "CustomRole", "permissions": [permission]}
        properties |= {"assignableScopes": [f"/subscriptions/{SUBSCRIPTION}"]}
        _put(stack, f"{_SCOPE}/roleDefinitions/{role}", properties)
    given = {"roleDefinitionId": f"{_SCOPE}/roleDefinitions/{role}", "principalType": "ServicePrincipal"}
    given |= {"principalId": principal(client_id(row["who"]))}
    if "only" in row:
        given |= {"condition": condition(row["only"]), "conditionVersion": "2.0"}
    place = f"{PLACES[row['at']]}/providers/Microsoft.Authorization"
    _put(stack, f"{place}/roleAssignments/{_id(name)}", given)


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"roles.json {name}"))


def _put(stack: Stack, path: str, properties: Mapping[str, Any]) -> None:
    """As the person who sets the platform up."""
    url = f"{stack.addresses['resource-manager']}{path}?{_VERSION}"
    signed = {"Authorization": f"Bearer {token(stack, 'operator', 'https://management.azure.com')}"}
    ask("PUT", url, {"properties": properties}, signed, ssl.create_default_context(cafile=stack.ca))


def token(stack: Stack, client: str, resource: str) -> str:
    """An access token of anybody."""
    query = f"api-version=2019-08-01&client_id={client}&resource={resource}"
    url = f"{stack.addresses['identity']}/msi/token?{query}"
    return str(ask("GET", url, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER})["access_token"])


def condition(role: str) -> str:
    """The condition in `infra/roles.tf` under which this role, and no other, may be granted."""
    text = (ROOT / "infra" / "roles.tf").read_text()
    heredoc = re.search(r"for role, id in local\.grantable : role => <<-EOT\n(.*?)\n\s*EOT", text, re.DOTALL)
    id_ = re.search(rf'"{role}"\s*= "([0-9a-f-]+)"', text)
    assert heredoc is not None
    assert id_ is not None
    return heredoc[1].replace("${id}", id_[1])
