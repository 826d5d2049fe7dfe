"""The plans that give a team its dedicated workspaces, withdraw them and delete them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from shared.errors import NotManaged
from shared.marker import Marker
from shared.names import namespace as namespace_name
from shared.resources.actual import Limit, Namespace, Route, Workspace
from shared.resources.desired import DesiredWorkspaces
from shared.resources.plan import (
    UNREAD,
    Change,
    Create,
    Delete,
    Pending,
    Plan,
    Refused,
    Replace,
    Unread,
    Update,
    in_steps,
    refusal,
)
from shared.resources.workspaces import Manifest, fixed_fields, spec_matches


@dataclass(frozen=True, slots=True)
class ActualWorkspaces:
    """A team's namespace with its workspaces and routes. `limits` are in the order of the desired ones."""

    namespace: Namespace | None = None
    workspaces: Sequence[Workspace] = ()
    routes: Sequence[Route] = ()
    limits: Sequence[Limit | None] | Unread = UNREAD

    @property
    def is_terminating(self) -> bool:
        return self.namespace is not None and self.namespace.terminating

    @property
    def lasting(self) -> dict[str, Workspace]:
        """By name, the workspaces that are not being deleted."""
        return {each.name: each for each in self.workspaces if not each.terminating}


def plan_workspaces(
    desired: DesiredWorkspaces,
    marker: Marker,
    actual: ActualWorkspaces,
    postponed: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The namespace's marker vouches for all that is in it: it loses its digest first and gets it last.
    `postponed` are workspaces that must not be created yet, each with the reason; of one that would be
    replaced, the existing one stays.

    Limits come before workspaces: a raised quota must exist before the workspace that needs it. A route is
    written after its workspace and deleted before it. The quota counts a workspace until it is gone:
    workspaces that exceed it meanwhile are planned later.
    """
    namespace = actual.namespace
    if namespace is None:
        return _plan_namespace(desired, marker, actual, postponed)
    if not desired.workspaces:
        return _plan_nothing(marker, namespace, actual)
    if namespace.terminating:
        return _terminating(namespace.name, ends=False)
    if refused := _refused(marker, namespace):
        return Plan(refused=refused)
    is_marked = _is_marked(marker, namespace)
    plan = _plan_objects(desired, actual, postponed, is_marked=is_marked)
    if plan and is_marked:
        # Something differs although it was written once: everything is written again.
        return _plan_objects(desired, actual, postponed, is_marked=False)
    return plan if is_marked else _between_markers(desired, marker, actual, plan)


def started(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> frozenset[str]:
    """The workspaces that do not exist as desired: they would be created, or replaced."""
    existing = {workspace.name: workspace.fixed for workspace in actual.workspaces if workspace.managed}
    return frozenset(
        name
        for name, manifest in desired.workspaces.items()
        if name not in existing or dict(existing[name]) != fixed_fields(manifest)
    )


def _plan_namespace(
    desired: DesiredWorkspaces, marker: Marker, actual: ActualWorkspaces, postponed: Mapping[str, str]
) -> Plan:
    """The plan where there is no namespace; it is made with the first workspace."""
    if postponed.keys() >= desired.workspaces.keys():
        return Plan(pending=tuple(_pending(postponed)))
    plan = _plan_objects(desired, actual, postponed, is_marked=False)
    return _between_markers(desired, marker, actual, plan)


def _plan_nothing(marker: Marker, namespace: Namespace, actual: ActualWorkspaces) -> Plan:
    """No workspaces are asked for (any more): a namespace of ours goes."""
    if not marker.owns(namespace.marker):
        return Plan()
    if namespace.terminating:
        return _terminating(namespace.name, ends=True)
    if refused := _refused(marker, namespace):
        return Plan(refused=refused)
    return _plan_removal(namespace, actual)


def _pending(postponed: Mapping[str, str]) -> Iterator[Pending]:
    return (Pending("workspace", name, reason) for name, reason in sorted(postponed.items()))


def _refused(marker: Marker, namespace: Namespace) -> tuple[Refused, ...]:
    shown = f"namespace {namespace.name}"
    return refusal("namespace", namespace.name, shown, marker, namespace.marker)


def _terminating(name: str, *, ends: bool) -> Plan:
    return Plan(pending=(Pending("namespace", name, "NamespaceTerminating", ends),))


def _is_marked(marker: Marker, namespace: Namespace | None) -> bool:
    """Whether the namespace's marker says that all that is desired was written."""
    known = None if namespace is None else namespace.marker
    return known is not None and (known.digest, known.withdrawn) == (marker.digest, None)


def _between_markers(
    desired: DesiredWorkspaces, marker: Marker, actual: ActualWorkspaces, plan: Plan
) -> Plan:
    """The plan between the marker without its digest, so that a change which is taken back meanwhile is seen,
    and the one with it, which a plan that leaves a workspace out does not write.
    """
    namespace, name = actual.namespace, namespace_name(marker.team)
    is_begun = namespace is not None and namespace.marker is not None and not namespace.marker.digest
    begin = () if is_begun else [Update("namespace", name, None, marker.unfinished())]
    created = {each.name for each in plan if isinstance(each, Create) and each.kind == "workspace"}
    left_out = {each.name for each in (*plan, *plan.pending) if not isinstance(each, Create)}
    is_whole = desired.workspaces.keys() <= (actual.lasting.keys() - left_out) | created
    end = [Update("namespace", name, None, marker)] if is_whole else ()
    return replace(plan, steps=in_steps(begin, *plan.steps, end))


def _plan_objects(
    desired: DesiredWorkspaces, actual: ActualWorkspaces, postponed: Mapping[str, str], *, is_marked: bool
) -> Plan:
    """Limits, workspaces and routes; where the namespace's marker vouches for them, what was edited or is
    missing.
    """
    existing = {workspace.name: workspace for workspace in actual.workspaces}
    granted = desired.without(postponed.keys() - existing.keys()) if postponed else desired
    refused, listed = _workspace_changes(granted, existing, postponed)
    changes, absent = _within_quota(listed, existing, len(granted.workspaces))
    routes = {name: each for name, each in granted.routes.items() if name not in absent}
    created, deleted, refused_routes = _route_changes(routes, actual.routes, is_marked=is_marked)
    limits = _limit_changes(desired.limits, actual.limits, is_marked=is_marked)
    waiting = [
        *(
            Pending("workspace", name, "WorkspaceDeleting")
            for name in sorted(absent & desired.workspaces.keys())
        ),
        *_pending(postponed),
    ]
    return Plan(
        in_steps([*limits, *deleted], changes, created),
        refused=(*refused, *refused_routes),
        pending=tuple(waiting),
    )


def _limit_changes(
    limits: Sequence[Manifest], actual: Sequence[Limit | None] | Unread, *, is_marked: bool
) -> Iterator[Change]:
    if not is_marked or isinstance(actual, Unread):
        return iter(() if is_marked else [Create("limits", _limit_name(each), each) for each in limits])
    return (
        Create("limits", _limit_name(manifest), manifest)
        for manifest, found in zip(limits, actual, strict=True)
        if found is None or not found.managed or not spec_matches(found.spec, manifest)
    )


def _limit_name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _workspace_changes(
    desired: DesiredWorkspaces, existing: Mapping[str, Workspace], postponed: Container[str]
) -> tuple[list[Refused], list[Change]]:
    refused, changes = list[Refused](), list[Change]()
    for name, manifest in desired.workspaces.items():
        actual = existing.get(name)
        if actual is None:
            changes.append(Create("workspace", name, manifest))
        elif not actual.managed:
            refused.append(_taken("workspace", name))
        elif name not in postponed and _differs(actual, manifest):
            changes.append(Replace("workspace", name, actual.resource_version))
    changes += (
        Delete("workspace", name, workspace.resource_version)
        for name, workspace in existing.items()
        if name not in desired.workspaces and workspace.managed and not workspace.terminating
    )
    return refused, changes


def _differs(actual: Workspace, manifest: Manifest) -> bool:
    """Whether a workspace that is not being deleted must be replaced."""
    return not actual.terminating and dict(actual.fixed) != fixed_fields(manifest)


def _taken(kind: Literal["workspace", "route"], name: str) -> Refused:
    where = f"{kind} {name} in the team's namespace"
    message = f"there is a {where} that is not managed by mergekey: rename or remove it"
    return Refused(kind, name, NotManaged, message)


def _within_quota(
    changes: list[Change], existing: Mapping[str, Workspace], quota: int
) -> tuple[list[Change], set[str]]:
    """The changes that fit into the quota now, and the workspaces that are leaving or postponed."""
    leaving = {each.name for each in changes if not isinstance(each, Create)}
    leaving |= {name for name, workspace in existing.items() if workspace.terminating}
    if not leaving:
        return changes, leaving
    created = [each.name for each in changes if isinstance(each, Create)]
    late = set(created[max(quota - len(existing), 0) :])
    return [change for change in changes if change.name not in late], leaving | late


def _route_changes(
    desired: Mapping[str, Manifest], actual: Iterable[Route], *, is_marked: bool
) -> tuple[list[Change], list[Change], list[Refused]]:
    """The routes to write, those to delete, and those whose names are taken."""
    existing = {route.name: route for route in actual}
    taken = [route.name for route in existing.values() if route.name in desired and not route.managed]
    written = desired.keys() - set(taken)
    if is_marked:
        written -= _right_routes(desired, existing)
    return (
        [Create("route", each, manifest) for each, manifest in desired.items() if each in written],
        list(_surplus_routes(desired, existing.values())),
        [_taken("route", each) for each in taken],
    )


def _surplus_routes(desired: Container[str], existing: Iterable[Route]) -> Iterator[Change]:
    return (
        Delete("route", route.name, "") for route in existing if route.managed and route.name not in desired
    )


def _right_routes(desired: Mapping[str, Manifest], existing: Mapping[str, Route]) -> set[str]:
    both = desired.keys() & existing.keys()
    return {name for name in both if spec_matches(existing[name].spec, desired[name])}


def plan_withdrawn_workspaces(
    owner: Marker, actual: ActualWorkspaces, now: datetime, grace: timedelta, *, in_doubt: bool
) -> Plan:
    """Mark the namespace as withdrawn; delete all that is in it when the grace period is over. It is short: a
    GPU costs money, and a mistake costs half an hour.

    `in_doubt`: the branch cannot be read; nothing is deleted.
    """
    namespace = actual.namespace
    if namespace is None:
        return Plan()
    if refused := _refused(owner, namespace):
        return Plan(refused=refused)
    if namespace.terminating:
        return _terminating(namespace.name, ends=True)
    assert namespace.marker is not None, "it is ours"
    since = namespace.marker.withdrawn
    if since is None:
        withdrawn = replace(namespace.marker, withdrawn=now)
        return Plan(in_steps([Update("namespace", namespace.name, None, withdrawn)]))
    return Plan() if in_doubt or now < since + grace else _plan_removal(namespace, actual)


def _plan_removal(namespace: Namespace, actual: ActualWorkspaces) -> Plan:
    """Delete the workspaces, so that KAITO gives their nodes back, and the namespace when they are gone. Each
    route goes before its workspace: a route that outlives a team which comes back would lead nowhere.

    Where the namespace holds workspaces of others, it stays, and the team's own go all the same.
    """
    if not actual.workspaces:
        return Plan(in_steps([Delete("namespace", namespace.name, namespace.resource_version)]))
    own = [each for each in actual.lasting.values() if each.managed]
    refused = _refused_removal(namespace, actual)
    going = Pending("namespace", namespace.name, "WorkspaceDeleting", ends=True)
    return Plan(
        in_steps(
            [Delete("route", each.name, "") for each in own],
            [Delete("workspace", each.name, each.resource_version) for each in own],
        ),
        refused=refused,
        pending=() if refused else (going,),
    )


def _refused_removal(namespace: Namespace, actual: ActualWorkspaces) -> tuple[Refused, ...]:
    foreign = [workspace.name for workspace in actual.workspaces if not workspace.managed]
    if not foreign:
        return ()
    text = (
        f"namespace {namespace.name} holds workspaces that are not managed by mergekey: {', '.join(foreign)}"
    )
    return (Refused("workspace", foreign[0], NotManaged, text),)
