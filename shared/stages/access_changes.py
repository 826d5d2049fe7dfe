"""From files of the branch to access changes, and to what people are told about them: what a push and a sweep
have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.app import App
from shared.branch.review import File, Review
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams
from shared.documents.problem import START, Problem, failures, problem_at
from shared.git import Tree
from shared.messaging.messages import CATALOG_TEAM, AccessChange
from shared.ports import Head


def requested(
    reviewed: Review, paths: Iterable[str], tree: Tree, head: Head, files: Mapping[str, File]
) -> list[AccessChange]:
    """A change per valid request. Without a valid catalogue nothing can be granted."""
    valid = [path for path in paths if path in reviewed.requests] if reviewed.catalog else []
    return [
        change_of(reviewed.requests[path].team, path, head, tree[path].blob, files[path]) for path in valid
    ]


def held(judged: MissingTeams, head: Head) -> list[AccessChange]:
    """A change per team that is held and whose product does not say so yet."""
    unmarked = (each for each in judged.held if each.marked and not each.held and each.why != "shortened")
    return [
        AccessChange(change="held", team=each.team, path=each.path, commit=head.commit) for each in unmarked
    ]


def withdrawn(gone: MissingTeam, head: Head) -> AccessChange:
    return AccessChange(
        change="withdrawn", team=gone.team, path=gone.path, commit=head.commit, granted=gone.commit
    )


def held_problems(judged: MissingTeams) -> list[Problem]:
    """Where the files were, so that whoever looks at the push finds it."""
    return [
        problem_at(each.path, START, "WithdrawalsHeld", judged.explain())
        for each in judged.held
        if each.why != "shortened"
    ]


async def report(app: App, head: Head, teams: int, problems: Sequence[Problem]) -> str:
    wrong = len(failures(problems))
    counts = [(wrong, "problems"), (len(problems) - wrong, "warnings")]
    summary = ", ".join([f"{teams} teams queued", *(f"{number} {what}" for number, what in counts if number)])
    await app.reports.verdict(head.commit, problems, summary)
    return summary


def catalog_change(app: App, tree: Tree, head: Head, files: Mapping[str, File]) -> AccessChange:
    path = app.places.catalog
    return change_of(CATALOG_TEAM, path, head, tree[path].blob, files[path])


def change_of(team: str, path: str, head: Head, blob: str, file: File) -> AccessChange:
    return AccessChange(
        change="requested", team=team, path=path, commit=head.commit, blob=blob, text=file.content.decode()
    )
