"""The conditions of a team's access, part by part, as Kubernetes writes conditions. Nothing is stored: they
are derived from the state at the time of the call.

Messages that wait on Service Bus cannot be seen. A part that differs from the request is `InProgress`,
whether a message for it is under way or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from shared import names
from shared.api.team_view import Condition, Status, TeamView
from shared.branch.states import Access
from shared.documents.problem import Problem
from shared.errors import Actor, LabelLost
from shared.gateway_api.road import RoadNote
from shared.inventory.differences import plans_to_grant
from shared.inventory.snapshot import DesiredTeam, Part
from shared.marker import Marker, format_time, read_time
from shared.requests.request import AccessRequest
from shared.resources.actual import Namespace, Product, Project, Workspace
from shared.resources.desired import Platform
from shared.resources.keys import renewal_of
from shared.resources.namespace_labels import has_our_label, label_lost
from shared.resources.plan import Plan, describe, known
from shared.resources.project import BEING_DELETED, FAILED, READY, plan_withdrawn_project
from shared.resources.route_upgrade import road_of

#: The actor of what passes by itself.
TRIED_AGAIN: Actor = "nobody: it is tried again"
PARTS: tuple[Part, ...] = ("Gateway", "Keys", "Workspaces", "Projects")


def conditions(view: TeamView, platform: Platform) -> tuple[Condition, ...]:
    """The condition of the request, that of the access as a whole, and one for each part."""
    return (_request(view), _access(view), *(_part(part, view, platform) for part in PARTS))


#: The condition of the request where the branch has none: status, reason, message.
_WITHOUT_REQUEST: Mapping[
    Literal["no_catalogue", "no_tree", "no_request", "gone"], tuple[Status, str, str]
] = {
    "no_catalogue": (
        "Unknown",
        "CatalogueInvalid",
        "the catalogue on the branch is not valid; granted access stays",
    ),
    "no_tree": ("Unknown", "NoBranch", "the branch is not there, or has no files; granted access stays"),
    "no_request": (
        "False",
        "NoRequest",
        "there are files at the team's paths, but none is a request of this team; see the check",
    ),
    "gone": ("False", "NoRequest", "there is no request of this team on the branch"),
}

#: The condition of a team's access as a whole: status, reason, message.
_ACCESS: Mapping[Access, tuple[Status, str, str]] = {
    "granted": ("True", "Granted", "as the request says"),
    "kept": ("True", "KeptInForce", "as it was granted last"),
    "held": (
        "True",
        "WithdrawalsHeld",
        "too many teams would lose their access at once: nothing is withdrawn until a person approves; see "
        "the check",
    ),
    "ended": ("False", "Ended", "its keys are suspended"),
    "frozen": (
        "False",
        "Ended",
        "its last day is over; nothing is deleted while the branch cannot be read",
    ),
    "not_ours": ("False", "NotManaged", "{product} is not managed by mergekey"),
    "none": ("False", "NotThere", "it is not in force"),
}


def _request(view: TeamView) -> Condition:
    """The condition of the file, independently of the access in force."""
    found = view.on_branch
    match found.files:
        case "valid" | "shortened":
            return (
                _refused(found.problems) if found.access == "kept" else Condition("Request", "True", "Valid")
            )
        case "expired" | "new_end":
            return _expired(found.request.expires if found.request else None)
        case "invalid" | "unreadable":
            return _refused(found.problems)
        case files:
            status, reason, message = _WITHOUT_REQUEST[files]
            since = view.withdrawn if status == "False" else None
            return Condition("Request", status, reason, message, since)


def _expired(last_day: date | None) -> Condition:
    message = f"its last day was {last_day}: write a later one, or remove the file"
    since = None if last_day is None else datetime.combine(last_day + timedelta(days=1), time(), UTC)
    return Condition("Request", "False", "Expired", message, since)


def _access(view: TeamView) -> Condition:
    """The condition of the access in force, independently of the file."""
    status, reason, message = _ACCESS[view.on_branch.access]
    since = view.withdrawn if reason == "Ended" else None
    text = message.format(product=names.product(view.on_branch.team))
    return Condition("Access", status, reason, text, since)


def _refused(problems: tuple[Problem, ...]) -> Condition:
    if not problems:
        return Condition("Request", "False", "NotValid", "the request is not valid; see the check")
    first, more = problems[0], len(problems) - 1
    message = f"{first.path}:{first.line}:{first.column} {first.message}" + (
        f" ({more} more)" if more else ""
    )
    return Condition("Request", "False", first.reason, message)


def _part(part: Part, view: TeamView, platform: Platform) -> Condition:
    if part in view.unread:
        return Condition(part, "Unknown", *view.unread[part])
    found = view.on_branch
    if found.access in ("granted", "not_ours") and found.request is not None:
        return _granted(part, view, platform)
    has_ended = found.access in ("ended", "frozen") or (
        found.access == "none" and found.files not in ("invalid", "unreadable", "no_catalogue")
    )
    return _ended(part, view, platform) if has_ended else _kept(part, view, platform)


def _granted(part: Part, view: TeamView, platform: Platform) -> Condition:
    """The condition of a granted part. A dead letter counts only while the part differs from the request."""
    letter, differences = view.letters.get(part), _differences(part, view, platform)
    condition = (
        _different(part, differences, view, platform) if differences else _serving(part, view, platform)
    )
    if letter is None or condition.status == "True":
        return condition
    message = f"{letter.message} (dead letter {letter.sequence}; who must act: {letter.actor})"
    return Condition(part, "False", letter.reason, message, letter.enqueued)


def _differences(part: Part, view: TeamView, platform: Platform) -> list[str]:
    assert view.on_branch.request is not None
    assert view.catalog is not None
    wanted = DesiredTeam(view.on_branch.request, view.on_branch.path)
    plan = plans_to_grant(wanted, view.catalog, platform, view.actual, view.times).get(part, Plan())
    return [describe(each) for each in plan.findings]


def _different(part: Part, differences: list[str], view: TeamView, platform: Platform) -> Condition:
    held_up = _held_up(view, platform) if part == "Workspaces" else None
    if held_up is not None:
        return held_up
    request = view.on_branch.request
    is_playground = part == "Projects" and request is not None and request.playground_access
    project = view.project(platform.repository) if is_playground else None
    if project is not None and project.state != READY:
        return _not_ready(project)
    return Condition(part, "False", "InProgress", "; ".join(differences), waits=True)


def _serving(part: Part, view: TeamView, platform: Platform) -> Condition:
    """The condition of a part that is written as requested."""
    request = view.on_branch.request
    assert request is not None
    if part == "Gateway":
        return Condition(part, "True", "AsRequested")
    if part == "Keys":
        return Condition(
            part,
            "True",
            "InVault",
            _notes_on_keys(view, request),
            max((each.created for each in view.secrets), default=None),
        )
    if part == "Projects":
        return _playground(view, platform) if request.playground_access else _project(view, platform)
    if platform.cluster is None and any(model.instance_type for model in request.models):
        return Condition(
            part, "False", "NoCluster", "this platform has no GPU cluster: ask for the shared model"
        )
    return _workspaces(view, platform)


def _notes_on_keys(view: TeamView, request: AccessRequest) -> str:
    """Notes for the team on keys that are as requested."""
    reader, times = request.entra_group or "", view.times
    until = renewal_of(request.team, reader, view.actual.keys, times.now, times.key_overlap).until
    notes = [] if request.entra_group else ["no group may read them yet: add entraGroup"]
    if until is not None:
        notes.append(f"primary key renewed after {format_time(until)}: another group could read it")
    return "; ".join(notes)


def _kept(part: Part, view: TeamView, platform: Platform) -> Condition:
    """The condition of a part while the branch cannot be followed: the access granted last stays in force."""
    match part:
        case "Workspaces":
            return _workspaces(view, platform)
        case "Projects":
            return _project(view, platform)
        case "Gateway":
            is_in_force = _is_product_in_force(view, platform)
        case "Keys":
            is_in_force = _are_keys_in_force(view)
    if is_in_force:
        return Condition(part, "True", "KeptInForce", "as it was granted last")
    return Condition(part, "False", "NotThere", "it is not in force")


def _is_product_in_force(view: TeamView, platform: Platform) -> bool:
    product = view.product
    if product is None or product.marker is None or not product.published:
        return False
    ours = Marker(platform.repository, view.on_branch.team, "", "")
    return ours.owns(product.marker) and product.marker.withdrawn is None


def _are_keys_in_force(view: TeamView) -> bool:
    subscription = view.actual.keys.subscription
    return (
        subscription is not None
        and subscription.state == "active"
        and all(secret.enabled for secret in view.secrets)
    )


def _ended(part: Part, view: TeamView, platform: Platform) -> Condition:
    match part:
        case "Gateway":
            return _withdrawn(part, view.product is not None, _marked(view.product), view.times.grace)
        case "Keys":
            return _ended_keys(view)
        case "Workspaces":
            namespace = known(view.actual.workspaces.namespace, None)
            withdrawn = _withdrawn(
                part, namespace is not None, _marked(namespace), view.times.workspace_grace
            )
            return _held_up(view, platform) or _workspace_that_goes(view) or withdrawn
        case "Projects":
            return _ended_project(view, platform)


def _ended_keys(view: TeamView) -> Condition:
    is_open = any(secret.enabled or not secret.tags.get("withdrawn") for secret in view.secrets)
    since = None if is_open else view.withdrawn
    return _withdrawn("Keys", bool(view.secrets), since, view.times.grace)


def _marked(found: Product | Namespace | Project | None) -> datetime | None:
    """The time at which it was withdrawn, by its marker."""
    return found.marker.withdrawn if found is not None and found.marker is not None else None


def _withdrawn(part: Part, there: bool, since: datetime | None, grace: timedelta) -> Condition:
    if not there:
        return Condition(part, "False", "NotThere", "it does not exist (any more)")
    if since is None:
        message = "its access has ended and it is not withdrawn yet"
        return Condition(part, "False", "InProgress", message, waits=True)
    return Condition(
        part,
        "False",
        "Withdrawn",
        f"deleted after {format_time(since + grace)}, unless a valid request comes back",
        since,
    )


def _held_up(view: TeamView, platform: Platform) -> Condition | None:
    """The condition of a namespace of ours in which nothing is done: it goes, or has lost its label. In the
    first seconds what is in a namespace that goes does not show it.
    """
    found, owner = view.actual.workspaces, Marker(platform.repository, view.on_branch.team, "", "")
    namespace = known(found.namespace, None)
    if namespace is None or not owner.owns(namespace.marker):
        return None
    if namespace.terminating:
        why = namespace.remaining or f"{namespace.name} is being deleted"
        return Condition("Workspaces", "False", "NamespaceTerminating", why, namespace.deleted, waits=True)
    if has_our_label(namespace):
        return None
    return Condition("Workspaces", "False", LabelLost.reason, label_lost(namespace.name, found.workspaces))


def _workspace_that_goes(view: TeamView) -> Condition | None:
    """The condition of a withdrawn namespace with workspaces that are being deleted: it goes after them."""
    going = [each for each in view.actual.workspaces.by_name.values() if each.managed and each.terminating]
    if not going:
        return None
    since = min((each.deleted for each in going if each.deleted is not None), default=None)
    shown = ", ".join(sorted(each.name for each in going))
    return Condition("Workspaces", "False", "WorkspaceDeleting", f"being deleted: {shown}", since, waits=True)


def _workspaces(view: TeamView, platform: Platform) -> Condition:
    """The condition of all dedicated workspaces: that of the first one that does not serve, if any."""
    return _held_up(view, platform) or _serving_workspaces(view)


def _serving_workspaces(view: TeamView) -> Condition:
    managed = [each for each in view.actual.workspaces.by_name.values() if each.managed]
    if not managed:
        return Condition("Workspaces", "True", "NothingAsked", "no models of its own")
    found = sorted(managed, key=lambda each: each.name)
    roads = _roads(view, found)
    faults = (*map(_not_serving, found), *map(_not_answering, roads, roads.values()))
    fault = next((each for each in faults if each is not None), None)
    if fault is not None:
        return fault
    since = max((moment for each in found if (moment := _since(each, _SUCCEEDED))), default=None)
    told = ", ".join(map(_served, found)) + _unproven(roads)
    return Condition("Workspaces", "True", "Ready", told, since)


def _roads(view: TeamView, found: Iterable[Workspace]) -> dict[str, RoadNote | None]:
    """What the roads to these workspaces were last seen to do, where their routes were read."""
    routes = {each.name: each for each in known(view.actual.workspaces.routes, ()) if each.managed}
    return {each.name: road_of(routes[each.name]) for each in found if each.name in routes}


def _unproven(roads: Mapping[str, RoadNote | None]) -> str:
    answers = [note is not None and note.verdict.word == "Answers" for note in roads.values()]
    return "" if all(answers) else "; road not proven"


def _served(workspace: Workspace) -> str:
    """Its name, and what was found although it serves."""
    finding = workspace.verdict.text
    return f"{workspace.name} ({finding})" if finding else workspace.name


def _not_answering(name: str, note: RoadNote | None) -> Condition | None:
    """The condition of a workspace at which calls did not arrive when its road was asked last; None where
    they did, and where that is not known.
    """
    if note is None or note.verdict.word in ("Answers", "NotReachable"):
        return None
    text = f"{name}: {note.verdict.text} (the platform)"
    return Condition("Workspaces", "False", note.verdict.word, text, note.since)


def _not_serving(workspace: Workspace) -> Condition | None:
    """The condition of a workspace that does not serve; None if it serves."""
    verdict = workspace.verdict
    if verdict.is_ready:
        return None
    reason = verdict.cause.reason
    since = verdict.since or _since(workspace, f"{reason.removesuffix('NotReady')}Ready", _SUCCEEDED)
    waits = verdict.cause.actor == TRIED_AGAIN
    if not verdict.text:
        text = f"{workspace.name} is not ready yet"
        return Condition("Workspaces", "False", reason, text, since, waits=waits)
    text = f"{workspace.name}: {verdict.text} ({verdict.cause.actor})"
    return Condition("Workspaces", "False", reason, text, since, waits=waits)


def _playground(view: TeamView, platform: Platform) -> Condition:
    """The condition of a playground that was asked for and is as requested."""
    request = view.on_branch.request
    if platform.playground is None:
        return Condition(
            "Projects", "False", "NoPlayground", "this platform has no playgrounds: remove playgroundAccess"
        )
    note = "" if request is not None and request.entra_group else ": no group may use it yet, add entraGroup"
    return Condition("Projects", "True", "Ready", f"{names.project(view.on_branch.team)}{note}")


def _project(view: TeamView, platform: Platform) -> Condition:
    """The condition of a playground that the branch does not ask for, or while the branch cannot be read."""
    project = view.project(platform.repository)
    if project is None or project.state == BEING_DELETED:
        return Condition("Projects", "True", "NothingAsked", "no playground")
    since = _marked(project)
    if since is not None:
        message = (
            f"{project.name} is deleted after {format_time(since + view.times.grace)}, unless it is asked "
            "for again"
        )
        return Condition("Projects", "True", "Withdrawn", message, since)
    return (
        Condition("Projects", "True", "KeptInForce", "as it was granted last")
        if project.state == READY
        else _not_ready(project)
    )


def _not_ready(project: Project) -> Condition:
    """The condition of a project that is not ready, with the reasons of its stage."""
    if project.state in FAILED:
        return Condition(
            "Projects", "False", "ProjectFailed", f"Foundry could not make the project {project.name}"
        )
    if project.state == BEING_DELETED:
        message = f"{project.name} is being deleted; then it is made anew"
        return Condition("Projects", "False", "ProjectDeleting", message, waits=True)
    message = f"Foundry is making or changing the project {project.name}"
    return Condition("Projects", "False", "ProjectNotReady", message, waits=True)


def _ended_project(view: TeamView, platform: Platform) -> Condition:
    owner, times = Marker(platform.repository, view.on_branch.team, "", ""), view.times
    in_doubt = view.on_branch.access == "frozen"
    plan = plan_withdrawn_project(owner, view.actual.project, times.now, times.grace, in_doubt=in_doubt)
    if plan.findings:
        message = "; ".join(map(describe, plan.findings))
        return Condition("Projects", "False", "InProgress", message, waits=True)
    project = view.project(platform.repository)
    return _withdrawn("Projects", project is not None, _marked(project), view.times.grace)


#: The condition of a KAITO workspace that tells whether it serves.
_SUCCEEDED = "WorkspaceSucceeded"


def _since(workspace: Workspace, *types: str) -> datetime | None:
    """The time at which the first of these conditions that exists changed last."""
    times: Iterable[datetime | None] = (
        read_time(str(condition.get("lastTransitionTime") or ""))
        for kind in types
        for condition in workspace.conditions
        if condition.get("type") == kind
    )
    return next((moment for moment in times if moment is not None), None)
