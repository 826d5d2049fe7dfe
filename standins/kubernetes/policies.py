"""Admission policies that were applied to this cluster itself:
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ .
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from standins.kubernetes.errors import Refused, forbidden, invalid, unsupported
from standins.kubernetes.expressions import ExpressionError, compiled
from standins.kubernetes.kinds import KINDS, NAMESPACE, POLICY, POLICY_BINDING, Kind, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import User
from standins.kubernetes.schema import Violation
from standins.kubernetes.selectors import chosen

_NAMES = frozenset(("object", "oldObject", "request", "namespaceObject", "variables"))
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
#: Parts of a policy or a binding that are not known here.
_UNKNOWN = ("paramKind", "auditAnnotations", "paramRef")


@dataclass(frozen=True)
class Attempt:
    """What a request wants to do: `operation` is CREATE, UPDATE, DELETE or CONNECT; `value` and `old` are
    None where there is no such object.
    """

    operation: str
    key: Key
    user: User
    value: Object | None = None
    old: Object | None = None
    subresource: str = ""
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Denial:
    message: str
    reason: str = "Invalid"


def check_definition(kind: Kind, value: Object) -> None:
    """Raises `Refused` for a policy or a binding that cannot be enforced: 501 for what is not known here, 422
    for an expression that is none.
    """
    spec = value.get("spec", {})
    if kind not in (POLICY, POLICY_BINDING):
        return
    for name in _UNKNOWN:
        if name in spec:
            raise unsupported(f"{name} of a {kind.name}")
    if "Audit" in spec.get("validationActions", ()):
        raise unsupported("the action Audit of a ValidatingAdmissionPolicyBinding")
    problems = []
    for place, text in _expressions(spec):
        try:
            compiled(text, _NAMES)
        except ExpressionError as error:
            problems.append(
                Violation(f"spec.{place}", "FieldValueInvalid", f'Invalid value: "{text}": {error}')
            )
    if problems:
        raise invalid(kind, value["metadata"]["name"], problems)


def _expressions(spec: Object) -> Iterator[tuple[str, str]]:
    for part in ("matchConditions", "variables", "validations"):
        for index, each in enumerate(spec.get(part, [])):
            for name in ("expression", "messageExpression"):
                if name in each:
                    yield f"{part}[{index}].{name}", each[name]


def check(objects: Objects, attempt: Attempt) -> list[str]:
    """What the policies warn of. Raises `Refused` with the first objection: 422, or as its reason says.

    Policies and bindings themselves are subject to none.
    """
    warnings: list[str] = []
    if attempt.key.kind in (POLICY, POLICY_BINDING):
        return warnings
    for policy in objects.all(POLICY, ""):
        name = policy["metadata"]["name"]
        if not _matches(objects, policy["spec"].get("matchConstraints", {}), attempt):
            continue
        for binding in objects.all(POLICY_BINDING, ""):
            spec = binding["spec"]
            if spec["policyName"] != name or not _matches(objects, spec.get("matchResources", {}), attempt):
                continue
            by = f"ValidatingAdmissionPolicy '{name}' with binding '{binding['metadata']['name']}'"
            for denial in _denials(objects, policy["spec"], attempt):
                if "Warn" in spec["validationActions"]:
                    warnings.append(f"Validation failed for {by}: {denial.message}")
                if "Deny" in spec["validationActions"]:
                    raise _refusal(attempt, f"{by} denied request: {denial.message}", denial.reason)
    return warnings


def _refusal(attempt: Attempt, text: str, reason: str) -> Refused:
    refusal = forbidden(attempt.key.kind, attempt.key.name, text, [{"message": text}])
    refusal.code, refusal.reason = _CODES.get(reason, 422), reason
    return refusal


def _matches(objects: Objects, constraints: Object, attempt: Attempt) -> bool:
    """Whether a policy or a binding is about this: by namespace, by object, by rules."""
    home = attempt.value or attempt.old if attempt.key.kind is NAMESPACE else _home(objects, attempt)
    if home is not None and not chosen(constraints.get("namespaceSelector", {}), home):
        return False
    seen = [each for each in (attempt.value, attempt.old) if each is not None]
    selector = constraints.get("objectSelector", {})
    if selector and not any(chosen(selector, each) for each in seen):
        return False
    policy, rules = constraints.get("matchPolicy", "Equivalent"), constraints.get("resourceRules", [])
    if any(_is_meant(rule, attempt, policy) for rule in constraints.get("excludeResourceRules", [])):
        return False
    return not rules or any(_is_meant(rule, attempt, policy) for rule in rules)


def _is_meant(rule: Object, attempt: Attempt, policy: str) -> bool:
    kind, scope = attempt.key.kind, rule.get("scope", "*")
    # A rule on one version is about the same objects in another one.
    versions = {each.version for each in KINDS if each.resource == kind.resource}
    return (
        not {"*", attempt.operation}.isdisjoint(rule["operations"])
        and not {"*", kind.group}.isdisjoint(rule["apiGroups"])
        and not {"*", *(versions if policy == "Equivalent" else {kind.version})}.isdisjoint(
            rule["apiVersions"]
        )
        and any(_covers(each, kind.plural, attempt.subresource) for each in rule["resources"])
        and (not rule.get("resourceNames") or attempt.key.name in rule["resourceNames"])
        and scope in ("*", "Namespaced" if kind.namespaced else "Cluster")
    )


def _covers(pattern: str, plural: str, subresource: str) -> bool:
    """`*` is every resource without its subresources, `*/*` every one with them."""
    resource, _, part = pattern.partition("/")
    return resource in ("*", plural) and part in ("*", subresource)


def _home(objects: Objects, attempt: Attempt) -> Object | None:
    return objects.find(Key(NAMESPACE, "", attempt.key.namespace)) if attempt.key.namespace else None


def _denials(objects: Objects, spec: Object, attempt: Attempt) -> Iterator[_Denial]:
    """What a policy says against it. An expression without a value is an objection if the policy shall fail
    then.
    """
    given: dict[str, Any] = {
        "object": attempt.value,
        "oldObject": attempt.old,
        "request": _request(attempt),
        "namespaceObject": _home(objects, attempt),
        "variables": {},
    }
    try:
        conditions = [_value(each["expression"], given) for each in spec.get("matchConditions", [])]
        if not all(holds is True for holds in conditions):
            return
    except ExpressionError as error:
        yield from _failed(spec, error)
        return
    for validation in spec.get("validations", []):
        try:
            given["variables"] = _variables(spec, given, validation["expression"])
            holds = _value(validation["expression"], given)
        except ExpressionError as error:
            yield from _failed(spec, error)
            continue
        if holds is not True:
            yield _Denial(_message(validation, given), validation.get("reason", "Invalid"))


def _variables(spec: Object, given: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The variables that an expression uses, directly or by others: the rest is not evaluated."""
    rows = {each["name"]: each["expression"] for each in spec.get("variables", [])}
    found: dict[str, Any] = {}
    for name in dict.fromkeys(re.findall(r"variables\.\??(\w+)", text)):
        if name in rows:
            inner = {**given, "variables": _variables(spec, given, rows[name])}
            try:
                found[name] = compiled(rows[name], _NAMES)(inner)
            except ExpressionError as error:
                raise ExpressionError(
                    f"expression '{text.strip()}' resulted in error: composited variable \"{name}\" fails to "
                    f"evaluate: {error}"
                ) from error
    return found


def _failed(spec: Object, error: ExpressionError) -> Iterator[_Denial]:
    if spec.get("failurePolicy", "Fail") == "Fail":
        yield _Denial(str(error))


def _message(validation: Object, given: Mapping[str, Any]) -> str:
    text: Any = ""
    if "messageExpression" in validation:
        try:
            text = _value(validation["messageExpression"], given)
        except ExpressionError:
            text = ""
    said = text.strip() if isinstance(text, str) else ""
    return said or validation.get("message", "").strip() or f"failed expression: {validation['expression']}"


def _value(text: str, given: Mapping[str, Any]) -> Any:
    try:
        return compiled(text, _NAMES)(given)
    except ExpressionError as error:
        raise ExpressionError(f"expression '{text.strip()}' resulted in error: {error}") from error


def _request(attempt: Attempt) -> Object:
    kind = attempt.key.kind
    version = {"group": kind.group, "version": kind.version}
    named = {
        "name": attempt.key.name,
        "namespace": attempt.key.namespace,
        "subResource": attempt.subresource,
        "requestSubResource": attempt.subresource,
    }
    return {
        "uid": "",
        "kind": {**version, "kind": kind.name},
        "resource": {**version, "resource": kind.plural},
        "requestKind": {**version, "kind": kind.name},
        "requestResource": {**version, "resource": kind.plural},
        **{name: text for name, text in named.items() if text},
        "operation": attempt.operation,
        "userInfo": {"username": attempt.user.name, "groups": sorted(attempt.user.groups)},
        "dryRun": attempt.dry_run,
        "options": dict(attempt.options),
    }
