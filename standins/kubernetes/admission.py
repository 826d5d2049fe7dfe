"""What is refused at the door, whoever knocks: what does not fit the schema, what exceeds a quota, what has
no namespace.
"""

from __future__ import annotations

from collections.abc import Iterator

from standins.kubernetes.errors import Refused, forbidden, invalid, not_found, undecodable
from standins.kubernetes.kinds import NAMESPACE, Kind, Object
from standins.kubernetes.naming import metadata_problems
from standins.kubernetes.schema import Schema, Violation, violations


def check_types(kind: Kind, schema: Schema, value: Object) -> None:
    """Raises `Refused` (400) for what the server cannot even read: of a custom object that is the metadata,
    of others everything.
    """
    for problem in violations(schema, value):
        if problem.reason == "FieldValueTypeInvalid" and (
            not kind.is_custom or problem.field.startswith("metadata")
        ):
            raise undecodable(kind, f"json: cannot unmarshal into Go struct field .{problem.field}")


def check_object(kind: Kind, schema: Schema, value: Object, live: Object | None) -> None:
    """Raises `Refused` (422) with everything that does not fit. `live` is what is there before an update."""
    problems = [*metadata_problems(kind, value), *violations(schema, value)]
    if live is not None:
        problems += _changes(value, live)
    if problems:
        raise invalid(kind, value["metadata"]["name"], problems)


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


def check_quotas(kind: Kind, name: str, quotas: list[Object], used: int) -> None:
    """Raises `Refused` (403) when one more object would exceed `count/<resource>` of a quota. `used` objects
    are there.
    """
    counted = f"count/{kind.resource}"
    for quota in quotas:
        hard = quota.get("spec", {}).get("hard", {}).get(counted)
        if hard is not None and used + 1 > int(hard):
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
    if kind.resource == NAMESPACE.resource and name in ("default", "kube-system", "kube-public"):
        raise forbidden(kind, name, "this namespace may not be deleted")
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted, actual = preconditions.get(field), live["metadata"][field]
        if wanted is not None and wanted != actual:
            why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {actual}"
            refusal = Refused(
                409, "Conflict", f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
            )
            refusal.details = {"name": name, "group": kind.group, "kind": kind.plural}
            raise refusal
