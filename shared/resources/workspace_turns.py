"""Of all workspaces of one model, one at a time is changed: the next when the one before serves again.

A change of the catalogue comes to all teams at once, and a mistake in it should cost the first of them its
model, not all. A workspace serves when its pods and conditions say so and its road answers, where that can
be asked. A team whose turn is to come says so by its namespace's marker without a digest, which its stage
writes anyway before anything else; then it looks at all the others. Of two that look at the same time each
sees the other, and the first by name goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from shared.kaito.releases import Release
from shared.marker import Marker
from shared.resources.actual import Namespace, Workspace
from shared.resources.workspace_changes import model_in, model_of, need
from shared.resources.workspaces import Manifest


@dataclass(frozen=True, slots=True)
class Others:
    """The namespaces in the cluster and their workspaces; `asking`: the teams that ask for a workspace of the
    model, whether it is there or not, with the instance type; `impossible`: those of the instance types on
    which no new one is made; `release` is the one that the catalogue names.
    """

    namespaces: Sequence[Namespace]
    workspaces: Mapping[str, Sequence[Workspace]]
    asking: Mapping[str, str]
    impossible: Set[str]
    release: Release


def has_turn_before(owner: Marker, own: str, manifest: Manifest, others: Others) -> str | None:
    """The first namespace that keeps a workspace of ours from being changed; None when it is its turn. `own`
    is our namespace, `manifest` what the workspace shall be.
    """
    name = manifest["metadata"]["name"]
    before = (
        each.name
        for each in sorted(others.namespaces, key=lambda each: each.name)
        if each.name != own
        and _counts(owner, each)
        and _is_before(each, own, _named(name, others.workspaces.get(each.name, ())), manifest, others)
    )
    return next(before, None)


def changed_already(owner: Marker, own: str, manifest: Manifest, others: Others) -> tuple[str, ...]:
    """The other teams, sorted, whose workspace is as ours shall be and ready by itself: their roads tell
    whether it serves.
    """
    name = manifest["metadata"]["name"]
    found = (
        (each.marker.team, _named(name, others.workspaces.get(each.name, ())))
        for each in others.namespaces
        if each.marker is not None and each.name != own and _counts(owner, each)
    )
    return tuple(sorted(team for team, each in found if each is not None and _serves(each, manifest)))


def _serves(found: Workspace, manifest: Manifest) -> bool:
    return not found.terminating and model_of(found) == model_in(manifest) and found.verdict.is_ready


def _counts(owner: Marker, namespace: Namespace) -> bool:
    """Whether it is ours and stays."""
    marker = namespace.marker
    is_ours = marker is not None and marker.repository == owner.repository and not marker.newer
    return is_ours and not namespace.terminating and marker is not None and marker.withdrawn is None


def _named(name: str, workspaces: Iterable[Workspace]) -> Workspace | None:
    return next((each for each in workspaces if each.name == name and each.managed), None)


def _is_before(
    namespace: Namespace, own: str, found: Workspace | None, manifest: Manifest, others: Others
) -> bool:
    """Whether its workspace is being made anew, does not serve yet as ours shall be, or comes first."""
    assert namespace.marker is not None, "it is ours"
    has_begun, team = not namespace.marker.digest, namespace.marker.team
    if found is None:
        return has_begun and team in others.asking and others.asking[team] not in others.impossible
    if found.terminating:
        return True
    if model_of(found) == model_in(manifest):
        return not found.verdict.is_ready
    return has_begun and namespace.name < own and _will_change(team, found, manifest, others)


def _will_change(team: str, found: Workspace, manifest: Manifest, others: Others) -> bool:
    """Whether its own stage will change it. One of a team whose request is gone or refused stays as it is,
    and so does one that people edited, or that KAITO would not make anew: the others would wait for ever.
    """
    size = others.asking.get(team)
    if size is None:
        return False
    resource = {"instanceType": size, "labelSelector": found.fixed.get("labelSelector")}
    needed = need(found, {**manifest, "resource": resource}, others.release)
    return needed == "restart" or (needed == "new" and size not in others.impossible)
