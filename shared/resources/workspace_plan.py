"""The plans that give a team its dedicated workspaces, withdraw them and delete them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from shared.errors import LabelLost, NotManaged, WorkspaceEdited
from shared.kaito.causes import SECRET
from shared.kaito.releases import Release
from shared.marker import Marker
from shared.names import namespace as namespace_name
from shared.resources.actual import Limit, Namespace, Route, Workspace
from shared.resources.config_changes import ActualConfigs, config_changes, needed_configs
from shared.resources.desired import DesiredWorkspaces
from shared.resources.namespace_labels import has_our_label, is_labelled, label_lost, taken
from shared.resources.namespace_limits import is_open, limit_changes, not_below_use
from shared.resources.network_policy import Step
from shared.resources.plan import (
    UNREAD,
    Change,
    Create,
    Delete,
    Kind,
    Pending,
    Plan,
    Refused,
    Replace,
    Unread,
    Update,
    in_steps,
    known,
    refusal,
)
from shared.resources.standing_forms import NOTHING_DUE, Due, in_standing_forms
from shared.resources.workspace_changes import edited, is_changed_for_all, need
from shared.resources.workspaces import Manifest, spec_matches


@dataclass(frozen=True, slots=True)
class ActualWorkspaces:
    """A team's namespace with its workspaces, routes, limits and configurations: what is there under the
    names of ours. Except for the last two, UNREAD is what the cluster does not serve.
    """

    namespace: Namespace | Unread | None = None
    workspaces: Sequence[Workspace] | Unread = ()
    routes: Sequence[Route] | Unread = ()
    limits: Sequence[Limit] | Unread = UNREAD
    configs: ActualConfigs | Unread = UNREAD

    @property
    def is_terminating(self) -> bool:
        namespace = known(self.namespace, None)
        return namespace is not None and namespace.terminating

    @property
    def unread(self) -> frozenset[Kind]:
        """The kinds that the cluster does not serve."""
        parts: dict[Kind, object] = {
            "namespace": self.namespace,
            "workspace": self.workspaces,
            "route": self.routes,
        }
        return frozenset(kind for kind, part in parts.items() if part is UNREAD)

    @property
    def by_name(self) -> dict[str, Workspace]:
        """The workspaces, those that are being deleted too; none while they are unknown."""
        return {each.name: each for each in known(self.workspaces, ())}

    @property
    def lasting(self) -> dict[str, Workspace]:
        """By name, the workspaces that are not being deleted. What is in a namespace that goes does not show
        it in the first seconds.
        """
        return {
            name: each for name, each in self.by_name.items() if not (each.terminating or self.is_terminating)
        }


def plan_workspaces(
    desired: DesiredWorkspaces,
    marker: Marker,
    actual: ActualWorkspaces,
    postponed: Mapping[str, str] = MappingProxyType({}),
    *,
    due: Set[str] = frozenset(),
    policy: Step = "stays",
) -> Plan:
    """The namespace's marker vouches for all that is in it: it loses its digest first and gets it last.
    `postponed` are workspaces that must not be created yet, each with the reason; of one that would be
    replaced, the existing one stays.

    Limits come before workspaces: a raised quota must exist before the workspace that needs it. A route is
    written after its workspace and deleted before it. The quota counts a workspace until it is gone:
    workspaces that exceed it meanwhile are planned later.

    An object that has lost our label, or is somebody else's, is refused by itself; the others are written.

    A route in the form of earlier releases is right, and stays until it is `due`; so is a network policy,
    for which `policy` says what may be done.
    """
    namespace = actual.namespace
    with_due = _for_now(desired, actual, Due(due, policy))
    desired = _for_now(desired, actual, NOTHING_DUE)
    if isinstance(namespace, Unread):
        return Plan(unread=actual.unread)
    if namespace is None:
        return _plan_namespace(desired, marker, actual, postponed)
    if not desired.workspaces:
        return _plan_nothing(marker, namespace, actual)
    if namespace.terminating:
        return _terminating(namespace, ends=False)
    if refused := _refused(marker, namespace, actual):
        return Plan(refused=refused)
    if actual.unread:
        plan = _plan_known(desired, actual)
    elif _is_marked(marker, namespace):
        plan = _plan_marked(desired, with_due, actual, postponed)
    else:
        plan = _plan_objects(with_due, actual, postponed, is_marked=False)
        return _between_markers(desired, marker, actual, plan)
    if is_labelled(marker, namespace) or not _is_marked(marker, namespace):
        return plan
    return replace(plan, steps=((Update("namespace", namespace.name, None, marker),), *plan.steps))


def _for_now(desired: DesiredWorkspaces, actual: ActualWorkspaces, due: Due) -> DesiredWorkspaces:
    """The same in the forms that stand, but for what is due, and with no fewer GPUs than are in use."""
    serves = isinstance(actual.workspaces, Unread) or bool(actual.lasting)
    found = in_standing_forms(desired, actual.routes, actual.limits, due, serves=serves)
    limits = not_below_use(found.limits, _staying(desired, actual), desired.release)
    return replace(found, limits=limits)


def _staying(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> Sequence[Workspace] | Unread:
    """The workspaces of which pods may be made anew."""
    if isinstance(actual.workspaces, Unread):
        return UNREAD
    return [each for name, each in actual.lasting.items() if name in desired.workspaces]


def _plan_marked(
    desired: DesiredWorkspaces,
    with_due: DesiredWorkspaces,
    actual: ActualWorkspaces,
    postponed: Mapping[str, str],
) -> Plan:
    """If something differs although it was written once, everything is written again; what is due alone is
    no such difference.
    """
    differs = bool(_plan_objects(desired, actual, postponed, is_marked=True))
    return _plan_objects(with_due, actual, postponed, is_marked=not differs)


def started(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> frozenset[str]:
    """The workspaces that do not exist as desired: they would be created, or replaced."""
    existing = {name: each for name, each in actual.by_name.items() if each.managed}
    return frozenset(
        name
        for name, manifest in desired.workspaces.items()
        if name not in existing or need(existing[name], manifest, desired.release) == "new"
    )


def changed_for_all(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> frozenset[str]:
    """The standing workspaces that would be changed, or replaced, because the catalogue says something else
    of their models.
    """
    existing = {name: each for name, each in actual.lasting.items() if each.managed}
    return frozenset(
        name
        for name, manifest in desired.workspaces.items()
        if name in existing
        and is_changed_for_all(existing[name], manifest)
        and need(existing[name], manifest, desired.release) in ("new", "restart")
    )


def begun(marker: Marker, actual: ActualWorkspaces) -> Literal["vouched", "begun", "not yet"]:
    """Whether the namespace's marker says that all was written as desired, that it is being written, or still
    vouches for what was desired before.
    """
    namespace = known(actual.namespace, None)
    if _is_marked(marker, namespace):
        return "vouched"
    return "begun" if namespace is not None and _is_begun(marker, namespace) else "not yet"


def configs_of(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> frozenset[str]:
    """The names of the configurations that must exist."""
    needed = needed_configs(desired.configs, desired.workspaces, actual.by_name, desired.release)
    return frozenset(manifest["metadata"]["name"] for manifest in needed.values())


def _plan_namespace(
    desired: DesiredWorkspaces, marker: Marker, actual: ActualWorkspaces, postponed: Mapping[str, str]
) -> Plan:
    """The plan where there is no namespace; it is made with the first workspace. An access secret comes only
    into a namespace that is there.
    """
    if postponed.keys() >= desired.workspaces.keys() and SECRET.reason not in postponed.values():
        return Plan(pending=tuple(_pending(postponed)))
    if actual.unread:
        return Plan(unread=actual.unread)
    plan = _plan_objects(desired, actual, postponed, is_marked=False)
    return _between_markers(desired, marker, actual, plan)


def _plan_known(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> Plan:
    """The plan while the cluster does not serve a kind: limits that were edited are applied again, and
    workspaces that nobody asks for go. Nothing is created that costs money, and no marker is written: what
    it vouches for is compared again when the kind is there.
    """
    limits, refused_limits = limit_changes(desired.limits, actual.limits, is_marked=True)
    refused, deleted = _workspace_changes(desired, actual.by_name, desired.workspaces.keys())
    return Plan(in_steps([*limits, *deleted]), refused=(*refused_limits, *refused), unread=actual.unread)


def _plan_nothing(marker: Marker, namespace: Namespace, actual: ActualWorkspaces) -> Plan:
    """No workspaces are asked for (any more): a namespace of ours goes."""
    if not marker.owns(namespace.marker):
        return Plan()
    if namespace.terminating:
        return _terminating(namespace, ends=True)
    if refused := _refused(marker, namespace, actual):
        return Plan(refused=refused)
    return _plan_removal(namespace, actual)


def _pending(postponed: Mapping[str, str]) -> Iterator[Pending]:
    return (Pending("workspace", name, reason) for name, reason in sorted(postponed.items()))


def _refused(marker: Marker, namespace: Namespace, actual: ActualWorkspaces) -> tuple[Refused, ...]:
    name = namespace.name
    refused = refusal("namespace", name, f"namespace {name}", marker, namespace.marker)
    if refused or has_our_label(namespace):
        return refused
    return (Refused("namespace", name, LabelLost, label_lost(name, actual.workspaces)),)


def _terminating(namespace: Namespace, *, ends: bool) -> Plan:
    note = namespace.remaining
    return Plan(pending=(Pending("namespace", namespace.name, "NamespaceTerminating", ends, note),))


def _is_marked(marker: Marker, namespace: Namespace | None) -> bool:
    """Whether the namespace's marker says that all that is desired was written."""
    known = None if namespace is None else namespace.marker
    return known is not None and (known.digest, known.withdrawn) == (marker.digest, None)


def _is_begun(marker: Marker, namespace: Namespace) -> bool:
    """Whether its marker vouches for nothing already, and its labels are right."""
    has_no_digest = namespace.marker is not None and not namespace.marker.digest
    return has_no_digest and is_labelled(marker, namespace)


def _between_markers(
    desired: DesiredWorkspaces, marker: Marker, actual: ActualWorkspaces, plan: Plan
) -> Plan:
    """The plan between the marker without its digest, so that a change which is taken back meanwhile is seen,
    and the one with it, which a plan that leaves a workspace out does not write. While a configuration is
    refused the marker stays: by one that is begun, the teams that have the same model would wait.
    """
    namespace = known(actual.namespace, None)
    if namespace is not None and any(each.kind == "config" for each in plan.refused):
        return plan
    return replace(
        plan, steps=in_steps(_begin(marker, namespace), *plan.steps, _end(desired, marker, actual, plan))
    )


def _begin(marker: Marker, namespace: Namespace | None) -> Sequence[Change]:
    if namespace is not None and _is_begun(marker, namespace):
        return ()
    return [Update("namespace", namespace_name(marker.team), None, marker.unfinished())]


def _end(
    desired: DesiredWorkspaces, marker: Marker, actual: ActualWorkspaces, plan: Plan
) -> Sequence[Change]:
    """The marker that vouches for all, if all of it is there after the plan."""
    created = {each.name for each in plan if isinstance(each, Create) and each.kind == "workspace"}
    left_out = {each.name for each in (*plan, *plan.pending) if not isinstance(each, Create)}
    is_whole = desired.workspaces.keys() <= (actual.lasting.keys() - left_out) | created
    return [Update("namespace", namespace_name(marker.team), None, marker)] if is_whole else ()


def _plan_objects(
    desired: DesiredWorkspaces, actual: ActualWorkspaces, postponed: Mapping[str, str], *, is_marked: bool
) -> Plan:
    """Limits, configurations, workspaces and routes; where the namespace's marker vouches for them, what was
    edited or is missing.
    """
    existing = actual.by_name
    granted = desired.without(postponed.keys() - existing.keys()) if postponed else desired
    needed = needed_configs(granted.configs, granted.workspaces, existing, desired.release)
    configs = config_changes(needed, actual.configs)
    limits, refused_limits = limit_changes(desired.limits, actual.limits, is_marked=is_marked)
    actual_routes = known(actual.routes, ())
    occupied = {each.name for each in actual_routes if not each.managed} & granted.routes.keys()
    held = _held(granted, actual) | configs.held
    refused, listed = _workspace_changes(granted, existing, held | postponed.keys())
    changes, absent = _within_quota(listed, existing, len(granted.workspaces))
    routes = {name: each for name, each in granted.routes.items() if name not in absent}
    waiting = _right_routes(routes, {each.name: each for each in actual_routes}) & postponed.keys()
    kept = {each.name for each in refused} | (held - existing.keys()) | occupied | waiting
    created, deleted = _route_changes(routes, actual_routes, kept)
    return Plan(
        in_steps([*limits, *configs.created, *deleted], changes, created),
        refused=(
            *refused_limits,
            *configs.refused,
            *refused,
            *(taken("route", "route", each) for each in sorted(occupied)),
        ),
        pending=(*_leaving(absent & desired.workspaces.keys()), *_pending(postponed)),
    )


def _held(desired: DesiredWorkspaces, actual: ActualWorkspaces) -> Set[str]:
    """The workspaces that are not made: limits or the route that they need are of others, and not as ours
    would be. A GPU costs money, and without the network policy it could be reached past the gateway.
    """
    limits = () if isinstance(actual.limits, Unread) else actual.limits
    if any(is_open(each, desired.limits) for each in limits if not each.managed):
        return desired.workspaces.keys()
    theirs = {each.name: each.spec for each in known(actual.routes, ()) if not each.managed}
    return {
        name
        for name, manifest in desired.routes.items()
        if name in theirs and not spec_matches(theirs[name], manifest)
    }


def _leaving(names: Set[str]) -> Iterator[Pending]:
    return (Pending("workspace", name, "WorkspaceDeleting") for name in sorted(names))


def _workspace_changes(
    desired: DesiredWorkspaces, existing: Mapping[str, Workspace], held: Set[str]
) -> tuple[list[Refused], list[Change]]:
    """`held` are neither made nor made anew."""
    refused, changes = list[Refused](), list[Change]()
    for name, manifest in desired.workspaces.items():
        actual = existing.get(name)
        if actual is not None and not actual.managed:
            refused.append(taken("workspace", "workspace", name))
        elif name in held:
            continue
        elif actual is None:
            changes.append(Create("workspace", name, manifest))
        elif not actual.terminating:
            _change(actual, manifest, desired.release, refused, changes)
    return refused, [*changes, *_surplus_workspaces(desired.workspaces, existing)]


def _surplus_workspaces(desired: Container[str], existing: Mapping[str, Workspace]) -> Iterator[Change]:
    return (
        Delete("workspace", name, workspace.resource_version)
        for name, workspace in existing.items()
        if name not in desired and workspace.managed and not workspace.terminating
    )


def _change(
    actual: Workspace,
    manifest: Manifest,
    release: Release,
    refused: list[Refused],
    changes: list[Change],
) -> None:
    """Add what a workspace needs that is not being deleted."""
    match need(actual, manifest, release):
        case "new":
            changes.append(Replace("workspace", actual.name, actual.resource_version))
        case "restart":
            changes.append(Update("workspace", actual.name, actual.resource_version, manifest))
        case "edited":
            refused.append(Refused("workspace", actual.name, WorkspaceEdited, edited(actual.name)))


def _within_quota(
    changes: list[Change], existing: Mapping[str, Workspace], quota: int
) -> tuple[list[Change], set[str]]:
    """The changes that fit into the quota now, and the workspaces that are leaving or postponed."""
    leaving = {each.name for each in changes if isinstance(each, Replace | Delete)}
    leaving |= {name for name, workspace in existing.items() if workspace.terminating}
    if not leaving:
        return changes, leaving
    created = [each.name for each in changes if isinstance(each, Create)]
    late = set(created[max(quota - len(existing), 0) :])
    return [change for change in changes if change.name not in late], leaving | late


def _route_changes(
    desired: Mapping[str, Manifest], actual: Iterable[Route], kept: Set[str]
) -> tuple[list[Change], list[Change]]:
    """The routes to write, which are missing or not right, and those to delete. `kept` are left as they are:
    a name that is taken, or a workspace that is not ours (any more), which may serve the team as before.
    """
    existing = {route.name: route for route in actual}
    written = desired.keys() - kept - _right_routes(desired, existing)
    return (
        [Create("route", each, manifest) for each, manifest in desired.items() if each in written],
        list(_surplus_routes(desired.keys() | kept, existing.values())),
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
    if isinstance(namespace, Unread):
        return Plan(unread=actual.unread)
    if namespace is None:
        return Plan()
    if namespace.terminating and owner.owns(namespace.marker):
        return _terminating(namespace, ends=True)
    if refused := _refused(owner, namespace, actual):
        return Plan(refused=refused)
    assert namespace.marker is not None, "it is ours"
    since = namespace.marker.withdrawn or now
    if in_doubt or not _has_ended(namespace.marker, now, grace):
        return _plan_mark(namespace, replace(namespace.marker, withdrawn=since))
    return _plan_removal(namespace, actual)


def _has_ended(marker: Marker, now: datetime, grace: timedelta) -> bool:
    return marker.withdrawn is not None and now >= marker.withdrawn + grace


def _plan_mark(namespace: Namespace, marker: Marker) -> Plan:
    """The namespace with this marker and our labels."""
    if namespace.marker == marker and is_labelled(marker, namespace):
        return Plan()
    return Plan(in_steps([Update("namespace", namespace.name, None, marker)]))


def _plan_removal(namespace: Namespace, actual: ActualWorkspaces) -> Plan:
    """Delete the workspaces, so that KAITO gives their nodes back, and the namespace when they are gone. Each
    route goes before its workspace: a route that outlives a team which comes back would lead nowhere.

    Where the namespace holds workspaces of others, it stays, and the team's own go all the same. It stays
    too while nobody can see whether they are gone. Where routes are not served, they go with it.
    """
    if isinstance(actual.workspaces, Unread):
        return Plan(unread=frozenset({"workspace"}))
    if not actual.workspaces:
        return Plan(in_steps([Delete("namespace", namespace.name, namespace.resource_version)]))
    own = [each for each in actual.lasting.values() if each.managed]
    refused = _refused_removal(namespace, actual.workspaces)
    routes = () if isinstance(actual.routes, Unread) else own
    going = Pending("namespace", namespace.name, "WorkspaceDeleting", ends=True)
    return Plan(
        in_steps(
            [Delete("route", each.name, "") for each in routes],
            [Delete("workspace", each.name, each.resource_version) for each in own],
        ),
        refused=refused,
        pending=() if refused else (going,),
    )


def _refused_removal(namespace: Namespace, workspaces: Iterable[Workspace]) -> tuple[Refused, ...]:
    foreign = [workspace.name for workspace in workspaces if not workspace.managed]
    if not foreign:
        return ()
    text = (
        f"namespace {namespace.name} holds workspaces that are not managed by mergekey: {', '.join(foreign)}"
    )
    return (Refused("workspace", foreign[0], NotManaged, text),)
