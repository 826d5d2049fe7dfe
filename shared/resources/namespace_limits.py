"""The quota and the network policy of a namespace: what differs."""

from __future__ import annotations

from collections.abc import Sequence

from shared.resources.actual import Limit
from shared.resources.namespace_labels import taken
from shared.resources.plan import Change, Create, Refused, Unread, Update
from shared.resources.workspaces import Manifest, spec_matches


def limit_changes(
    limits: Sequence[Manifest], actual: Sequence[Limit] | Unread, *, is_marked: bool
) -> tuple[list[Change], list[Refused]]:
    """What is missing is created, what others opened is closed, and what has not our label is refused."""
    if isinstance(actual, Unread):
        return ([] if is_marked else [Create("limits", limit_name(each), each) for each in limits]), []
    existing = {f"{each.kind} {each.name}": each for each in actual}
    changes, refused = list[Change](), list[Refused]()
    for manifest in limits:
        name = limit_name(manifest)
        found = existing.get(name)
        if found is None:
            changes.append(Create("limits", name, manifest))
        elif not found.managed:
            refused.append(taken("limits", manifest["kind"], manifest["metadata"]["name"]))
        elif not spec_matches(found.spec, manifest):
            changes.append(Update("limits", name, None, manifest))
    return changes, refused


def limit_name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def is_open(found: Limit, limits: Sequence[Manifest]) -> bool:
    return any(
        limit_name(manifest) == f"{found.kind} {found.name}" and not spec_matches(found.spec, manifest)
        for manifest in limits
    )
