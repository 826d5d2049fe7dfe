"""How a team's access stands, part by part, in Kubernetes' words. Nothing is stored: it is judged from what
is seen at this moment.

A retry or a wait that is under way on Service Bus cannot be seen: what is not there yet is `InProgress`,
whether somebody is at it or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from shared import names
from shared.api.team_view import Condition, View
from shared.documents.problem import Problem
from shared.inventory import project_drift
from shared.inventory.drift import by_part, renewal_of
from shared.inventory.snapshot import DesiredTeam, Part
from shared.marker import Marker, format_time, read_time
from shared.requests.request import AccessRequest
from shared.resources.actual import Project, Workspace
from shared.resources.desired import Platform
from shared.resources.project import BEING_DELETED, FAILED, READY
from shared.resources.readiness import Failed, NotYet, readiness

PARTS: tuple[Part, ...] = ("Gateway", "Keys", "Workspaces", "Projects")


def conditions(view: View, platform: Platform) -> tuple[Condition, ...]:
    """The request first, as the file on the branch says; then what stands of the access, as a whole and part
    by part.
    """
    return (_request(view), _access(view), *(_part(part, view, platform) for part in PARTS))


def _request(view: View) -> Condition:
    """What the file is, whatever stands."""
    said = view.said
    match said.files:
        case "valid" | "shortened":
            return _refused(said.problems) if said.access == "kept" else Condition("Request", "True", "Valid")
        case "over" | "new_end":
            last = said.request.expires if said.request else None
            over = (
                None
                if last is None
                else datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
            )
            return Condition(
                "Request",
                "False",
                "Expired",
                f"its last day was {last}: write a later one, or remove the file",
                over,
            )
        case "invalid" | "unreadable":
            return _refused(said.problems)
        case "no_catalogue":
            return Condition(
                "Request",
                "Unknown",
                "CatalogueInvalid",
                "the catalogue on the branch is not valid; what was granted stays",
            )
        case "no_tree":
            return Condition(
                "Request",
                "Unknown",
                "NoBranch",
                "the branch is not there, or has no files; what was granted stays",
            )
        case "junk":
            message = (
                "where its request may stand there are files, and none is a request of this team; see the "
                "check"
            )
            return Condition("Request", "False", "NoRequest", message, view.withdrawn)
        case "gone":
            return Condition(
                "Request",
                "False",
                "NoRequest",
                "there is no request of this team on the branch",
                view.withdrawn,
            )


def _access(view: View) -> Condition:
    """What stands, whatever the file says."""
    match view.said.access:
        case "granted":
            return Condition("Access", "True", "Granted", "as the request says")
        case "kept":
            return Condition("Access", "True", "KeptInForce", "as it was granted last")
        case "held":
            message = (
                "its access would end, as would that of too many at once: nothing is withdrawn until a "
                "person allows it; see the check"
            )
            return Condition("Access", "True", "WithdrawalsHeld", message)
        case "ended":
            return Condition("Access", "False", "Ended", "its keys are suspended", view.withdrawn)
        case "frozen":
            return Condition(
                "Access",
                "False",
                "Ended",
                "its last day is over; nothing is deleted while the branch does not say",
                view.withdrawn,
            )
        case "not_ours":
            return Condition(
                "Access", "False", "NotManaged", f"{names.product(view.said.team)} is not managed by mergekey"
            )
        case "none":
            return Condition("Access", "False", "NotThere", "nothing of it is in force")


def _refused(problems: tuple[Problem, ...]) -> Condition:
    if not problems:
        return Condition("Request", "False", "NotValid", "the request is not valid; see the check")
    first, more = problems[0], len(problems) - 1
    message = f"{first.path}:{first.line}:{first.column} {first.message}" + (
        f" ({more} more)" if more else ""
    )
    return Condition("Request", "False", first.reason, message)


def _part(part: Part, view: View, platform: Platform) -> Condition:
    if part in view.unread:
        return Condition(part, "Unknown", *view.unread[part])
    said = view.said
    if said.access in ("granted", "not_ours") and said.request is not None:
        return _granted(part, view, platform)
    has_ended = said.access in ("ended", "frozen") or (
        said.access == "none" and said.files not in ("invalid", "unreadable", "no_catalogue")
    )
    return _ended(part, view, platform) if has_ended else _kept(part, view, platform)


def _granted(part: Part, view: View, platform: Platform) -> Condition:
    """A letter counts while something is missing: whatever has converged since is well."""
    letter, findings = view.letters.get(part), _differences(part, view, platform)
    found = _unlike(part, findings, view, platform) if findings else _serving(part, view, platform)
    if letter is None or found.status == "True":
        return found
    message = f"{letter.message} (dead letter {letter.sequence}; who must act: {letter.actor})"
    return Condition(part, "False", letter.reason, message, letter.enqueued)


def _differences(part: Part, view: View, platform: Platform) -> list[str]:
    assert view.said.request is not None
    assert view.catalog is not None
    wanted = DesiredTeam(view.said.request, view.said.path, False)
    if part == "Projects":
        return list(project_drift.project_drift(wanted, platform, view.times, view.world))
    return list(by_part(wanted, view.catalog, platform, view.world, view.times).get(part, ()))


def _unlike(part: Part, findings: list[str], view: View, platform: Platform) -> Condition:
    request = view.said.request
    wanted = part == "Projects" and request is not None and request.playground_access
    project = view.project(platform.repository) if wanted else None
    if project is not None and project.state != READY:
        return _not_ready(project)
    return Condition(part, "False", "InProgress", "; ".join(findings))


def _serving(part: Part, view: View, platform: Platform) -> Condition:
    """What is written as requested."""
    request = view.said.request
    assert request is not None
    if part == "Gateway":
        return Condition(part, "True", "AsRequested")
    if part == "Keys":
        return Condition(
            part,
            "True",
            "InVault",
            _about_keys(view, request),
            max((each.created for each in view.secrets), default=None),
        )
    if part == "Projects":
        return _tried_out(view, platform) if request.playground_access else _project(view, platform)
    if platform.cluster is None and any(model.instance_type for model in request.models):
        return Condition(
            part, "False", "NoCluster", "this platform has no GPU cluster: ask for the shared model"
        )
    return _workspaces(view)


def _about_keys(view: View, request: AccessRequest) -> str:
    """What a team must know of keys that are as they should be."""
    until = renewal_of(request, view.times, view.world).until
    notes = [] if request.entra_group else ["nobody may read them yet: add entraGroup"]
    if until is not None:
        notes.append(f"primary key renewed after {format_time(until)}: another group could read it")
    return "; ".join(notes)


def _kept(part: Part, view: View, platform: Platform) -> Condition:
    """The branch cannot be followed: what was granted last is in force."""
    product = view.world.products.get(names.product(view.said.team))
    subscription = view.world.subscriptions.get(names.subscription(view.said.team))
    if part == "Workspaces":
        return _workspaces(view)
    if part == "Projects":
        return _project(view, platform)
    if part == "Gateway":
        marker = product.marker if product and product.published else None
        stands = (
            Marker(platform.repository, view.said.team, "", "").owns(marker)
            and marker is not None
            and marker.withdrawn is None
        )
    else:
        stands = (
            subscription is not None
            and subscription.state == "active"
            and all(secret.enabled for secret in view.secrets)
        )
    if stands:
        return Condition(part, "True", "KeptInForce", "as it was granted last")
    return Condition(part, "False", "NotThere", "nothing of it is in force")


def _ended(part: Part, view: View, platform: Platform) -> Condition:
    namespace = view.world.namespaces.get(names.namespace(view.said.team))
    product = view.world.products.get(names.product(view.said.team))
    if part == "Gateway":
        since = product.marker.withdrawn if product and product.marker else None
        return _withdrawn(part, product is not None, since, view.times.grace)
    if part == "Keys":
        open_still = any(secret.enabled or not secret.tags.get("withdrawn") for secret in view.secrets)
        return _withdrawn(part, bool(view.secrets), None if open_still else view.withdrawn, view.times.grace)
    if part == "Projects":
        return _ended_project(view, platform)
    marked = namespace.marker.withdrawn if namespace and namespace.marker else None
    return _withdrawn(part, namespace is not None, marked, view.times.workspace_grace)


def _withdrawn(part: Part, there: bool, since: datetime | None, grace: timedelta) -> Condition:
    if not there:
        return Condition(part, "False", "NotThere", "nothing of it is there (any more)")
    if since is None:
        return Condition(part, "False", "InProgress", "its access has ended and it is not withdrawn yet")
    return Condition(
        part,
        "False",
        "Withdrawn",
        f"deleted after {format_time(since + grace)}, unless a valid request comes back",
        since,
    )


def _workspaces(view: View) -> Condition:
    """What KAITO says. The first that does not serve stands for all."""
    found = [each for each in view.world.workspaces.get(names.namespace(view.said.team), ()) if each.managed]
    if not found:
        return Condition("Workspaces", "True", "NothingAsked", "no models of its own")
    for workspace in sorted(found, key=lambda each: each.name):
        match readiness(workspace.conditions):
            case Failed(message):
                return Condition(
                    "Workspaces",
                    "False",
                    "WorkspaceFailed",
                    f"{workspace.name}: {message}",
                    _since(workspace, _VERDICT),
                )
            case NotYet(reason):
                since = _since(workspace, f"{reason.removesuffix('NotReady')}Ready", _VERDICT)
                return Condition("Workspaces", "False", reason, f"{workspace.name} is not ready yet", since)
    served = (_since(workspace, _VERDICT) for workspace in found)
    names_ = ", ".join(sorted(each.name for each in found))
    return Condition(
        "Workspaces", "True", "Ready", names_, max((since for since in served if since), default=None)
    )


def _tried_out(view: View, platform: Platform) -> Condition:
    """A playground that was asked for, and is as the request says."""
    request = view.said.request
    if platform.playground is None:
        return Condition(
            "Projects", "False", "NoPlayground", "this platform has no playground: take playgroundAccess out"
        )
    note = "" if request is not None and request.entra_group else ": nobody may use it yet, add entraGroup"
    return Condition("Projects", "True", "Ready", f"{names.project(view.said.team)}{note}")


def _project(view: View, platform: Platform) -> Condition:
    """What stands of a playground that the branch does not ask for, or that it cannot be asked about."""
    project = view.project(platform.repository)
    if project is None or project.state == BEING_DELETED:
        return Condition("Projects", "True", "NothingAsked", "no playground")
    since = project.marker.withdrawn if project.marker else None
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
    """In the words of its stage."""
    if project.state in FAILED:
        return Condition(
            "Projects", "False", "ProjectFailed", f"Foundry could not make the project {project.name}"
        )
    if project.state == BEING_DELETED:
        return Condition(
            "Projects", "False", "ProjectDeleting", f"{project.name} is being deleted; then it is made anew"
        )
    return Condition(
        "Projects", "False", "ProjectNotReady", f"Foundry is making or changing the project {project.name}"
    )


def _ended_project(view: View, platform: Platform) -> Condition:
    left = list(
        project_drift.ended_project_drift(view.said.team, platform.repository, view.times, view.world)
    )
    if left:
        return Condition("Projects", "False", "InProgress", "; ".join(left))
    project = view.project(platform.repository)
    since = project.marker.withdrawn if project and project.marker else None
    return _withdrawn("Projects", project is not None, since, view.times.grace)


#: The condition that counts in the end.
_VERDICT = "WorkspaceSucceeded"


def _since(workspace: Workspace, *types: str) -> datetime | None:
    """When the first of these conditions that is there changed last."""
    at: Iterable[datetime | None] = (
        read_time(str(condition.get("lastTransitionTime") or ""))
        for wanted in types
        for condition in workspace.conditions
        if condition.get("type") == wanted
    )
    return next((moment for moment in at if moment is not None), None)
