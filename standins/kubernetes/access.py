"""Who may do what: roles and bindings that were applied to this cluster itself, where the option
`check_access` is on.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ . With Entra, a service principal or managed
identity is the user whose name is its object id:
https://learn.microsoft.com/azure/aks/kubernetes-rbac-entra-id
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import User


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
    return any(_grants(rule, action) for rule in rules(objects, user, action.namespace))


def rules(objects: Objects, user: User, namespace: str) -> list[Object]:
    """What the user may do in a namespace: everything where rights are not checked."""
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    return list(_granted(objects, user, namespace)) if objects.options["check_access"] else [every]


def _granted(objects: Objects, user: User, namespace: str) -> Iterator[Object]:
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


def review_problem(body: Object) -> Refused | None:
    """Why a question cannot be answered."""
    spec = body.get("spec", {})
    if body["kind"] == "SelfSubjectRulesReview" and not spec.get("namespace"):
        return Refused(400, "BadRequest", "no namespace on request")
    if body["kind"] == "SelfSubjectAccessReview" and "resourceAttributes" not in spec:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: null: {why}"}
        cause["field"] = "spec.resourceAttributes"
        text = f'.authorization.k8s.io "" is invalid: {cause["field"]}: {cause["message"]}'
        return Refused(422, "Invalid", text, {"group": "authorization.k8s.io", "causes": [cause]})
    return None


_ALWAYS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz")


def review(objects: Objects, user: User, body: Object) -> Object:
    """What a user asks of itself: the status of the review
    (https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/).
    """
    if body["kind"] == "SelfSubjectReview":
        return {"userInfo": {"username": user.name, "groups": sorted(user.groups)}}
    wish = body.get("spec", {}).get("resourceAttributes", {})
    if body["kind"] == "SelfSubjectRulesReview":
        own = [("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"])]
        own += [("authentication.k8s.io", ["selfsubjectreviews"])]
        found = rules(objects, user, body.get("spec", {}).get("namespace", ""))
        found += [{"verbs": ["create"], "apiGroups": [group], "resources": names} for group, names in own]
        paths = [{"verbs": ["get"], "nonResourceURLs": list(each)} for each in (_DISCOVERY, _ALWAYS)]
        return {"resourceRules": found, "nonResourceRules": paths, "incomplete": False}
    resource = "/".join(filter(None, (wish.get("resource", ""), wish.get("subresource", ""))))
    verb, group, namespace, name = (wish.get(part, "") for part in ("verb", "group", "namespace", "name"))
    return {"allowed": is_allowed(objects, user, Action(verb, group, resource, namespace, name))}
