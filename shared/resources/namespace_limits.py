"""The quota and the network policy of a namespace: what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.kaito.presets import table
from shared.kaito.releases import Release
from shared.resources.actual import Limit, Workspace
from shared.resources.namespace_labels import taken
from shared.resources.plan import Change, Create, Refused, Unread, Update
from shared.resources.workspaces import GPUS, Manifest, spec_matches


def limit_changes(
    limits: Sequence[Manifest], actual: Sequence[Limit] | Unread, *, is_marked: bool
) -> tuple[list[Change], list[Refused]]:
    """What is missing is created, what others opened is closed, and what has not our label is refused. A
    bound of GPUs beside a marker that vouches for everything is of another owner.
    """
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
        elif _differs(found, manifest, is_marked=is_marked):
            changes.append(Update("limits", name, None, manifest))
    return changes, refused


def _differs(found: Limit, manifest: Manifest, *, is_marked: bool) -> bool:
    """Also where a quota may have our bound of GPUs from before: to apply it again takes off what is ours."""
    is_bounded = GPUS in (found.spec.get("hard") or {}) and GPUS not in manifest["spec"].get("hard", {})
    return not spec_matches(found.spec, manifest) or (is_bounded and not is_marked)


def without_gpus(manifest: Manifest) -> Manifest:
    """The same limit without a bound of GPUs."""
    hard = manifest.get("spec", {}).get("hard", {})
    if GPUS not in hard:
        return manifest
    return {**manifest, "spec": {"hard": {name: each for name, each in hard.items() if name != GPUS}}}


def not_below_use(
    limits: Iterable[Manifest], workspaces: Iterable[Workspace] | Unread, release: Release
) -> tuple[Manifest, ...]:
    """The limits with no fewer GPUs than the nodes have that KAITO takes for these workspaces: a pod that is
    made anew would have no room. Where nobody knows them no GPUs are bounded.
    """
    used = None if isinstance(workspaces, Unread) else _gpus_of(workspaces, release)
    return tuple(without_gpus(each) if used is None else _at_least(used, each) for each in limits)


def _gpus_of(workspaces: Iterable[Workspace], release: Release) -> int | None:
    """None where the release does not know a size."""
    known = table(release)
    sizes = {} if known is None else known.sizes
    found = [(sizes.get(str(each.fixed.get("instanceType"))), each.nodes) for each in workspaces]
    counts = [None if size is None else size.gpus * nodes for size, nodes in found]
    return None if None in counts else sum(count for count in counts if count is not None)


def _at_least(used: int, manifest: Manifest) -> Manifest:
    hard = manifest["spec"].get("hard", {})
    if GPUS not in hard or used <= int(hard[GPUS]):
        return manifest
    return {**manifest, "spec": {"hard": {**hard, GPUS: str(used)}}}


def limit_name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def is_open(found: Limit, limits: Sequence[Manifest]) -> bool:
    return any(
        limit_name(manifest) == f"{found.kind} {found.name}" and not spec_matches(found.spec, manifest)
        for manifest in limits
    )
