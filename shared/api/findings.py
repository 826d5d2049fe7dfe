"""The findings of sweeps and the outcome of a push, judged at the time of the call by the comparison of
sweeps. Nothing is written.

Lists do not show everything: a policy that was edited or a key that was renewed by hand is found by a deep
sweep alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared import names
from shared.api.records import TeamRecord
from shared.api.team_view import Condition
from shared.api.teams import Audience, team, teams
from shared.app import App
from shared.branch.states import Access
from shared.branch.tree_diff import TreeDiff, diff_trees
from shared.documents.problem import Problem
from shared.git import Tree
from shared.inventory.differences import Difference
from shared.messaging.messages import AccessChange
from shared.names import CATALOG_TEAM
from shared.ports import Commit
from shared.resources.plan import Pending, Refused
from shared.stages.access_changes import held_problems
from shared.stages.comparison import Comparison, compare, observe, platform_notes
from shared.stages.due import Due, DueChange, due_changes, with_stages

#: With more touched teams than this, all teams are read by lists.
FEW = 8
#: The first characters of a commit's id that name it, as `git log --oneline` shows them.
SHORTEST = 7

Kind = Literal["difference", "problem", "alert"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `difference`: of a team or the catalogue, which a sweep puts right or waits for;
    `problem`: of a file on the branch, in `path` at `line`; `alert`: a person must look. `reason`
    is one CamelCase word, or empty.
    """

    kind: Kind
    message: str
    team: str = ""
    reason: str = ""
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a sweep for one team: the stages that it would ask now to put `differences` right.
    `blocked` are the stages that it leaves alone because of a dead letter; `left` says why the
    whole team is left to a later sweep.
    """

    team: str
    change: Literal["requested", "withdrawn", "held"]
    differences: tuple[str, ...]
    stages: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    left: str = ""


@dataclass(frozen=True, slots=True)
class FindingList:
    """All findings at the branch's head `commit` (None without a branch), and what a sweep would do now."""

    commit: str | None
    findings: tuple[Finding, ...]
    planned: tuple[Planned, ...]


@dataclass(frozen=True, slots=True)
class TeamOutcome:
    """The outcome of a push for one team. `current`: no later commit has changed its files. Conditions are
    those of today.
    """

    team: str
    current: bool
    access: Access
    ready: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """The outcome of a commit, compared with its first parent. `catalog`: it touched the catalogue, whose
    findings are `findings`, with the problems of the teams' files.
    """

    commit: str
    parent: str
    catalog: bool
    teams: tuple[TeamOutcome, ...]
    findings: tuple[Finding, ...]


async def findings(app: App, only: str = "") -> FindingList:
    """The findings about one team, or all with an empty name, those of the platform included."""
    now = app.clock.now()
    compared = await _compared(app, now)
    found = compared.of(only)
    head = compared.branch.head
    told = [each for each in _problems(app, compared) if only in ("", each.team)]
    return FindingList(
        None if head is None else head.commit,
        (*map(_difference, found.differences), *told, *(Finding("alert", text) for text in found.others)),
        tuple(await _planned(app, found, now)),
    )


async def _compared(app: App, now: datetime) -> Comparison:
    branch, snapshot = await observe(app, await app.repository.head(), now)
    notes = await platform_notes(app, branch, snapshot)
    return await compare(app, branch, snapshot, now, notes=notes)


def _difference(each: Difference) -> Finding:
    match each.finding:
        case Pending(reason=reason):
            return Finding("difference", each.message, each.team, reason)
        case Refused(error=error):
            return Finding("difference", each.message, each.team, error.reason)
        case _:
            return Finding("difference", each.message, each.team)


def _problems(app: App, found: Comparison) -> Iterator[Finding]:
    """The problems of files as the check tells them, without those that only say what something costs."""
    for each in (*found.branch.reviewed.problems, *held_problems(found.branch.judged)):
        if each.level != "notice":
            yield _problem(app, each)
    if found.branch.unlisted is not None:
        yield Finding("alert", found.branch.unlisted.message, reason=found.branch.unlisted.reason)


def _problem(app: App, each: Problem) -> Finding:
    owner = CATALOG_TEAM if each.path == app.paths.catalog else app.paths.requests.team_of(each.path) or ""
    return Finding("problem", each.message, owner, each.reason, each.path, each.line)


async def _planned(app: App, found: Comparison, now: datetime) -> list[Planned]:
    """As the next sweep would queue it; a team that it leaves to a later one says why."""
    due = await due_changes(app, found, verdict=False)
    queued = await with_stages(app, found, due.changes, now, verdict=False)
    texts: dict[str, list[str]] = {}
    for each in found.differences:
        texts.setdefault(each.team, []).append(each.message)
    report_only = "SWEEP_REPORT_ONLY: sweeps only report" if app.sweep_report_only else ""
    return [*(_queued(each, texts, report_only) for each in queued), *_left(due, texts)]


def _queued(each: DueChange, texts: dict[str, list[str]], left: str) -> Planned:
    change: AccessChange = each.change
    stages, blocked = (tuple(stage.name for stage in found) for found in (each.stages, each.blocked))
    return Planned(change.team, change.change, tuple(texts[change.team]), stages, blocked, left)


def _left(due: Due, texts: dict[str, list[str]]) -> Iterator[Planned]:
    for name in sorted(due.portion.waiting):
        yield Planned(
            name, "requested", tuple(texts[name]), left="it differs by the version alone: a later sweep"
        )
    for name in due.ending:
        yield Planned(
            name, "withdrawn", tuple(texts[name]), left="the first sweep after an upgrade ends no access"
        )


# One push


async def push_outcome(app: App, commit: str) -> PushOutcome | None:
    """The outcome of a commit of the branch, by its id or the beginning of it; None if it is none of the
    newest ones. Messages on Service Bus cannot be seen: a part that differs is in progress.
    """
    head = await app.repository.head()
    chosen = None if head is None else await _commit(app, head.commit, commit)
    if head is None or chosen is None:
        return None
    before, after, now = await asyncio.gather(
        _tree(app, chosen.parent), _tree(app, chosen.sha), _tree(app, head.commit)
    )
    touched = diff_trees(before, after, app.paths.requests, app.paths.catalog)
    whole = await findings(app)
    outcomes = [each async for each in _outcomes(app, touched, after, now)]
    shown = {each.team for each in outcomes} | ({CATALOG_TEAM} if touched.catalog else set())
    told = tuple(each for each in whole.findings if each.team in shown and _is_told_here(each))
    return PushOutcome(chosen.sha, chosen.parent, touched.catalog, tuple(outcomes), told)


def _is_told_here(each: Finding) -> bool:
    """The differences of teams are in their conditions."""
    return each.team == CATALOG_TEAM or each.kind == "problem"


async def _commit(app: App, head: str, named: str) -> Commit | None:
    """The newest commit that the name fits."""
    if len(named) < SHORTEST:
        return None
    newest = await app.repository.newest_commits(head)
    return next((each for each in newest if each.sha.startswith(named)), None)


async def _tree(app: App, commit: str) -> Tree:
    return (await app.repository.tree(commit) if commit else None) or {}


async def _outcomes(app: App, touched: TreeDiff, after: Tree, now: Tree) -> AsyncIterator[TeamOutcome]:
    paths: dict[str, list[str]] = {}
    for path in (*touched.changed, *touched.removed):
        owner = app.paths.requests.team_of(path)
        if owner is not None and names.team_problem(owner) is None:
            paths.setdefault(owner, []).append(path)
    for record in await _records(app, paths):
        current = all(after.get(path) == now.get(path) for path in paths[record.team])
        yield TeamOutcome(record.team, current, record.access, record.ready, record.conditions)


async def _records(app: App, chosen: Iterable[str]) -> list[TeamRecord]:
    wanted = sorted(chosen)
    if len(wanted) > FEW:
        return [each for each in (await teams(app, Audience(None))).teams if each.team in wanted]
    found = await asyncio.gather(*(team(app, name, Audience(None)) for name in wanted))
    return [each for each in found if each is not None]
