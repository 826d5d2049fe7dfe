"""Who may do what: roles and bindings that were applied to this cluster itself, where the option
`check_access` is on.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ . With Entra, a service principal or managed
identity is the user whose name is its object id:
https://learn.microsoft.com/azure/aks/kubernetes-rbac-entra-id
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Object
from standins.kubernetes.objects import Key, Objects


@dataclass(frozen=True)
class User:
    """The principal behind a token, and the object ids of its groups."""

    name: str
    groups: frozenset[str]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> User:
        return cls(claims["oid"], frozenset(claims.get("groups", [])) | {"system:authenticated"})


@dataclass(frozen=True)
class Action:
    """What somebody wants to do. `namespace` is empty for the whole cluster; `resource` may name a
    subresource: `workspaces/status`.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def check(objects: Objects, user: User, action: Action) -> None:
    """Raises `Refused` (403)."""
    if is_allowed(objects, user, action):
        return
    plural = action.resource.partition("/")[0]
    subject = f"{plural}.{action.group}" if action.group else plural
    named = f' "{action.name}"' if action.name else ""
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    what = (
        f'User "{user.name}" cannot {action.verb} resource "{action.resource}" in API group "{action.group}" '
        f"{where}"
    )
    details = {"name": action.name, "group": action.group, "kind": plural}
    raise Refused(403, "Forbidden", f"{subject}{named} is forbidden: {what}", details)


def is_allowed(objects: Objects, user: User, action: Action) -> bool:
    return not objects.options["check_access"] or any(
        _grants(rule, action) for rule in _rules(objects, user, action.namespace)
    )


def _rules(objects: Objects, user: User, namespace: str) -> Iterator[Object]:
    """What the user's roles allow, in the namespace and everywhere."""
    bindings = list(objects.all(CLUSTER_ROLE_BINDING, ""))
    if namespace:
        bindings += objects.all(ROLE_BINDING, namespace)
    for binding in bindings:
        if any(_is_meant(subject, user) for subject in binding.get("subjects", [])):
            reference = binding["roleRef"]
            is_local = reference["kind"] == "Role"
            role = objects.find(
                Key(ROLE if is_local else CLUSTER_ROLE, namespace if is_local else "", reference["name"])
            )
            yield from (role or {}).get("rules") or []


def _is_meant(subject: Object, user: User) -> bool:
    names = {"User": {user.name}, "Group": user.groups}.get(subject["kind"], set())
    return subject["name"] in names


def _grants(rule: Object, action: Action) -> bool:
    plural, _, subresource = action.resource.partition("/")
    resources = {"*", action.resource} | ({f"*/{subresource}"} if subresource else {plural})
    return (
        not {"*", action.verb}.isdisjoint(rule["verbs"])
        and not {"*", action.group}.isdisjoint(rule.get("apiGroups", []))
        and not resources.isdisjoint(rule.get("resources", []))
        and (not rule.get("resourceNames") or action.name in rule["resourceNames"])
    )
