"""Access changes for files of the branch, and the check run about them: common to pushes and sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared import names
from shared.app import App
from shared.branch.review import File, Review
from shared.branch.states import TeamState
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams
from shared.documents.problem import START, Problem, counted, failures, problem_at
from shared.git import Tree
from shared.inventory.snapshot import Snapshot
from shared.messaging.messages import AccessChange
from shared.messaging.routes import PROVISION_PROJECTS, PROVISION_WORKSPACES
from shared.names import CATALOG_TEAM
from shared.ports import Head
from shared.resources.plan import Unread


def requested_changes(
    reviewed: Review, paths: Iterable[str], tree: Tree, head: Head, files: Mapping[str, File]
) -> list[AccessChange]:
    """A change for each valid request. Nothing is granted without a valid catalogue."""
    valid = [path for path in paths if path in reviewed.requests] if reviewed.catalog else []
    return [
        change_of(reviewed.requests[path].team, path, head, tree[path].blob, files[path]) for path in valid
    ]


def held_changes(missing: MissingTeams, head: Head) -> list[AccessChange]:
    """A change for each team that the guard holds and whose product does not say so yet."""
    unmarked = (each for each in missing.held if each.marked and not each.held and each.cause != "shortened")
    return [
        AccessChange(change="held", team=each.team, path=each.path, commit=head.commit) for each in unmarked
    ]


def withdrawn_change(team: MissingTeam, head: Head) -> AccessChange:
    return AccessChange(
        change="withdrawn", team=team.team, path=team.path, commit=head.commit, granted=team.commit
    )


def held_problems(missing: MissingTeams) -> list[Problem]:
    """One problem at the former place of each file, so that the check run of the push shows it there."""
    return [
        problem_at(each.path, START, "WithdrawalsHeld", missing.explain())
        for each in missing.held
        if each.cause != "shortened"
    ]


async def report(
    app: App, head: Head, teams: int, problems: Sequence[Problem], lines: Sequence[str] = ()
) -> str:
    """Write the check run of the commit, with `lines` on what the push means for teams, and return its
    summary.
    """
    failed = len(failures(problems))
    warnings = sum(problem.level == "warning" for problem in problems)
    counts = [(failed, "problem"), (warnings, "warning")]
    parts = [f"{counted(teams, 'team')} queued", *(counted(*count) for count in counts if count[0])]
    summary = ", ".join(parts)
    await app.reports.check_run(head.commit, problems, summary, lines)
    return summary


def catalog_change(app: App, tree: Tree, head: Head, files: Mapping[str, File]) -> AccessChange:
    path = app.paths.catalog
    return change_of(CATALOG_TEAM, path, head, tree[path].blob, files[path])


def change_of(team: str, path: str, head: Head, blob: str, file: File) -> AccessChange:
    return AccessChange(
        change="requested", team=team, path=path, commit=head.commit, blob=blob, text=file.content.decode()
    )


def idle_stages(found: TeamState | None, snapshot: Snapshot) -> frozenset[str]:
    """The stages that have nothing to do for a team whose request is granted: it asks for nothing of theirs,
    and the lists show nothing of it there, neither an object nor a role.
    """
    if found is None or found.request is None or not found.action.startswith("grant"):
        return frozenset()
    request, project = found.request, names.project(found.team)
    idle = set()
    if not (request.playground_access or project in snapshot.projects or snapshot.users.get(project)):
        idle.add(PROVISION_PROJECTS.name)
    has_namespace = (
        isinstance(snapshot.namespaces, Unread) or names.namespace(found.team) in snapshot.namespaces
    )
    if not has_namespace and not request.has_own_models:
        idle.add(PROVISION_WORKSPACES.name)
    return frozenset(idle)
