"""What is refused at the door, whoever knocks: what does not fit the schema, what exceeds a quota, what has
no namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standins.kubernetes.amounts import amount
from standins.kubernetes.errors import Refused, forbidden, invalid, not_found, undecodable, unsupported
from standins.kubernetes.expressions import ExpressionError, compiled, escaped
from standins.kubernetes.kinds import NAMESPACE, QUOTA, Kind, Object
from standins.kubernetes.naming import metadata_problems
from standins.kubernetes.schema import Schema, Violation, parts, quantity_problem, violations

_SELF = frozenset(("self",))
#: What keeps the server from looking at rules.
_BLOCKING = frozenset(
    (
        *("FieldValueRequired", "FieldValueTypeInvalid", "FieldValueNotSupported"),
        *("FieldValueTooLong", "FieldValueTooMany"),
    )
)
_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
    "existing errors to complete validation"
)


def check_types(kind: Kind, schema: Schema, value: Object) -> None:
    """Raises `Refused` (400) for what the server cannot even read: of a custom object that is the metadata,
    of others everything.
    """
    for problem in violations(schema, value):
        if problem.reason == "FieldValueTypeInvalid" and (
            not kind.is_custom or problem.field.startswith("metadata")
        ):
            raise undecodable(kind, f"json: cannot unmarshal into Go struct field .{problem.field}")
    if not kind.is_custom and (text := quantity_problem(schema, value)):
        raise undecodable(kind, text)


def check_object(kind: Kind, schema: Schema, value: Object, live: Object | None) -> None:
    """Raises `Refused` (422) with everything that does not fit. `live` is what is there before an update."""
    about, problems = list(metadata_problems(kind, value)), list(violations(schema, value))
    if kind is QUOTA:
        problems += _amounts(value)
    if live is not None:
        problems += _changes(value, live)
        # A built-in kind is looked at as a new object and as a change, its metadata twice each time.
        about, problems = (about * 2, problems) if kind.is_custom else (about * 4, problems * 2)
        problems += _immutable(value, live)
    problems = [*about, *problems]
    if _has_rules(schema):
        blocked = any(problem.reason in _BLOCKING for problem in problems)
        problems += (
            [Violation("<nil>", "FieldValueInvalid", _UNCHECKED)] if blocked else broken_rules(schema, value)
        )
    if problems:
        raise invalid(kind, value["metadata"]["name"], problems)


def broken_rules(schema: Schema, value: Any, path: str = "") -> Iterator[Violation]:
    """The rules of a definition that do not hold."""
    for rule, message in schema.rules:
        if "oldSelf" in rule:
            raise unsupported(f"rules about changes: {rule}")
        try:
            holds = compiled(rule, _SELF)({"self": escaped(value)})
        except ExpressionError as error:
            message, holds = f"rule evaluation error: {error}", False
        if holds is not True:
            yield Violation(path, "FieldValueInvalid", f"Invalid value: {message}")
    for below, part, inner in parts(schema, value, path):
        if inner is not None:
            yield from broken_rules(inner, part, below)


def _has_rules(schema: Schema) -> bool:
    inside = (*schema.fields.values(), schema.items, schema.values)
    return bool(schema.rules) or any(_has_rules(each) for each in inside if each is not None)


def _changes(value: Object, live: Object) -> Iterator[Violation]:
    """What an update may not do."""
    before, after = (each["metadata"].get("finalizers", []) for each in (live, value))
    if "deletionTimestamp" in live["metadata"] and (new := [name for name in after if name not in before]):
        names = ", ".join(f'"{name}"' for name in new)
        text = (
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{names}}}"
        )
        yield Violation("metadata.finalizers", "FieldValueForbidden", f"Forbidden: {text}")
    if value.get("roleRef") != live.get("roleRef"):
        yield Violation(
            "roleRef", "FieldValueInvalid", f"Invalid value: {value.get('roleRef')}: cannot change roleRef"
        )


def _immutable(value: Object, live: Object) -> Iterator[Violation]:
    """What an update changes in a ConfigMap or a Secret that says of itself that it cannot be changed
    (pkg/apis/core/validation, `ValidateConfigMapUpdate`).
    """
    if live.get("kind") not in ("ConfigMap", "Secret") or not live.get("immutable"):
        return
    text = "Forbidden: field is immutable when `immutable` is set"
    if not value.get("immutable"):
        yield Violation("immutable", "FieldValueForbidden", text)
    for part in ("data", "binaryData"):
        if (value.get(part) or {}) != (live.get(part) or {}):
            yield Violation(part, "FieldValueForbidden", text)


def _amounts(quota: Object) -> Iterator[Violation]:
    """What is wrong with the amounts of a quota: objects are counted in whole numbers."""
    for name, text in quota["spec"].get("hard", {}).items():
        value, place = amount(text), f"spec.hard[{name}]"
        if value < 0:
            text = f'Invalid value: "{text}": must be greater than or equal to 0'
            yield Violation(place, "FieldValueInvalid", text)
        elif name.startswith("count/") and value % 1:
            yield Violation(place, "FieldValueInvalid", f'Invalid value: "{text}": must be an integer')


def check_quotas(kind: Kind, name: str, quotas: list[Object], used: int) -> None:
    """Raises `Refused` (403) when one more object would exceed `count/<resource>` of a quota. `used` objects
    are there.
    """
    counted = f"count/{kind.resource}"
    for quota in quotas:
        hard = quota["spec"].get("hard", {}).get(counted)
        if hard is not None and used + 1 > amount(hard):
            numbers = f"requested: {counted}=1, used: {counted}={used}, limited: {counted}={hard}"
            raise forbidden(kind, name, f"exceeded quota: {quota['metadata']['name']}, {numbers}")


def check_namespace(kind: Kind, name: str, namespace: Object | None, namespace_name: str) -> None:
    """Raises `Refused` when nothing can be created in the namespace: 404 without it, 403 while it is going
    away.
    """
    if namespace is None:
        raise not_found(NAMESPACE, namespace_name)
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace_name} because it is being terminated"
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace_name} is being terminated",
            "field": "metadata.namespace",
        }
        raise forbidden(kind, name, why, [cause])


def check_deletion(kind: Kind, name: str, live: Object, preconditions: dict[str, str]) -> None:
    """Raises `Refused`: 403 for a namespace that everything needs, 409 for an object that is not the one that
    was meant.
    """
    if kind is NAMESPACE and name in ("default", "kube-system", "kube-public"):
        raise forbidden(kind, name, "this namespace may not be deleted")
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted, actual = preconditions.get(field), live["metadata"][field]
        if wanted is not None and wanted != actual:
            raise _not_the_one(kind, name, label, wanted, actual)


def _not_the_one(kind: Kind, name: str, label: str, wanted: str, actual: str) -> Refused:
    subject, plural = kind.resource, kind.plural
    why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {actual}"
    if kind is not NAMESPACE:  # whose deletion has a text of its own
        subject, plural = f"{kind.name}.{kind.group}".rstrip("."), kind.name
        happened = "deleted and then recreated" if label == "UID" else "modified"
        why = (
            f"the {label} in the precondition ({wanted}) does not match the {label} in record ({actual}). "
            f"The object might have been {happened}"
        )
    text = f'Operation cannot be fulfilled on {subject} "{name}": {why}'
    return Refused(409, "Conflict", text, {"name": name, "group": kind.group, "kind": plural})
