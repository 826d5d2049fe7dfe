"""A push becomes validated access changes on the topic.

Only the head of the branch counts, as GitHub's API returns it now; its tree is compared with the one before
the push. An invalid request queues nothing, so the team keeps what was provisioned before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared import names
from shared.app import App
from shared.branch.ceilings import may_exceed_ceilings
from shared.branch.decision import catalog_of, tree_of
from shared.branch.evaluation import REGULAR, evaluate, files_of, has_read, read_files
from shared.branch.last_days import late_last_days
from shared.branch.missing_teams import find_missing, markers_of
from shared.branch.platform_checks import platform_check, read_supported_catalog
from shared.branch.repository_state import repository_state, request_paths_of, requests_of
from shared.branch.review import Baseline, File, Review, review
from shared.branch.states import SOON, TeamState
from shared.branch.team_states import BranchFiles, Existing, state
from shared.branch.tree_diff import TreeDiff, diff_trees
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams
from shared.catalog.catalog import ParsedCatalog
from shared.documents.problem import Problem
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.errors import MergekeyError
from shared.git import Tree, is_hidden
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Push
from shared.messaging.routes import PROVISION_GATEWAY
from shared.ports import Head, OutgoingMessage
from shared.stages.access_changes import (
    catalog_change,
    held_changes,
    held_problems,
    report,
    requested_changes,
    withdrawn_change,
)
from shared.stages.open_ways import seen_open_ways, way_problems
from shared.stages.outgoing import access_change, sweep
from shared.stages.push_summary import Before, files_before, push_lines

#: A push that touches more requests is left to the sweep, which reads all files in one download.
LARGE_PUSH = 50
#: How long GitHub's replicas may take to show a push.
REPLICATION_DELAY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _At:
    """The branch's head, and when it was read."""

    head: Head
    now: datetime


async def queue_changes(app: App, push: Push, now: datetime) -> str:
    """Queue the access changes of a push and write its check run; return a line for GitHub's log of the
    delivery.
    """
    head, _ = await asyncio.gather(app.repository.head(), _fetch_tree(app, push))
    if head is None:
        return "there is no such branch any more: nothing changes"
    if head.commit == push.before:
        due = now + REPLICATION_DELAY
        return await _leave_to_sweep(app, push, "GitHub does not show the push yet", now, due)
    after, before = await asyncio.gather(tree_of(app.repository, head), _tree_before(app, push))
    if before is None:
        return await _leave_to_sweep(app, push, "the commit before the push is gone", now)
    if push.allows:
        # The touched files do not tell which teams the commit message names.
        return await _leave_to_sweep(app, push, "withdrawals are allowed", now)
    touched = diff_trees(before, after, app.paths.requests, app.paths.catalog)
    if len(touched) > LARGE_PUSH:
        return await _leave_to_sweep(app, push, f"{len(touched)} requests touched at once", now)
    if not (touched or touched.catalog or touched.misplaced):
        return "nothing that concerns access"
    return await _queue_touched(app, push, touched, before, after, at=_At(head, now))


async def _queue_touched(
    app: App, push: Push, touched: TreeDiff, before: Tree, after: Tree, *, at: _At
) -> str:
    former, found = await asyncio.gather(
        files_before(app, touched, before), _review_touched(app, touched, before, after, at)
    )
    if found is None:
        return await _leave_to_sweep(app, push, "other requests decide too", at.now)
    reviewed, files = found
    branch = BranchFiles(after, files, reviewed, app.paths.requests)
    reviewed, ending = await _check_last_days(app, touched, branch, at)
    if ending:
        # The touched files do not tell how many other teams' access ends too.
        return await _leave_to_sweep(app, push, f"the access of {', '.join(ending)} would end", at.now)
    missing = await _missing_teams(app, touched.removed, after, at.head)
    changes = [
        *requested_changes(reviewed, touched.changed, after, at.head, files),
        *_withdrawn_changes(app, touched.removed, missing, after, at.head),
    ]
    if touched.catalog and reviewed.catalog:
        messages = _catalog_messages(app, push, touched, branch, at)
    else:
        messages = []
    messages += [access_change(app, change, push.delivery, at.now) for change in changes]
    messages += [
        access_change(app, change, push.delivery, at.now, PROVISION_GATEWAY)
        for change in held_changes(missing, at.head)
    ]
    await app.bus.send(messages)
    told = [*reviewed.problems, *held_problems(missing), *await _open_ways(app, reviewed, touched)]
    lines = push_lines(app, touched, Before(before, former), after, reviewed, missing)
    return await report(app, at.head, len(changes), told, lines)


async def _open_ways(app: App, reviewed: Review, touched: TreeDiff) -> list[Problem]:
    """Ways around the gateway, at each touched request for workspaces."""
    asked = {path for path, request in reviewed.requests.items() if request.has_own_models}
    paths = sorted(asked.intersection(touched.changed))
    ways = await seen_open_ways(app) if paths else ()
    return [problem for path in paths for problem in way_problems(ways, path)]


def _catalog_messages(
    app: App, push: Push, touched: TreeDiff, branch: BranchFiles, at: _At
) -> list[OutgoingMessage]:
    """The change of the catalogue, and a sweep where there are requests that the push did not touch."""
    change = catalog_change(app, branch.tree, at.head, branch.files)
    messages = [access_change(app, change, push.delivery, at.now)]
    if set(requests_of(branch.tree, app.paths.requests)) - set(touched.changed):
        message = Sweep(why="the catalogue changed", verdict=True)
        messages.append(sweep(app, message, f"{push.delivery}/sweep", at.now))
    return messages


async def _fetch_tree(app: App, push: Push) -> None:
    """Most likely the tree of the pushed commit is the one that is needed: the adapter keeps it. Errors are
    ignored, because they come again where it is.
    """
    if push.after is not None:
        with suppress(MergekeyError):
            await app.repository.tree(push.after)


async def _tree_before(app: App, push: Push) -> Tree | None:
    return {} if push.before is None else await app.repository.tree(push.before)


async def _leave_to_sweep(app: App, push: Push, why: str, now: datetime, due: datetime | None = None) -> str:
    await app.bus.send([sweep(app, Sweep(why=why, verdict=True), f"{push.delivery}/sweep", now, due)])
    return f"{why}: everything is looked at"


async def _review_touched(
    app: App, push: TreeDiff, before: Tree, after: Tree, at: _At
) -> tuple[Review, Mapping[str, File]] | None:
    """Review the touched files alone, or all files where the result depends on other requests; the problems
    are those of the touched files and the catalogue. None where the others are many and this process has not
    read them yet: GitHub waits ten seconds for the answer.
    """
    paths = {*push.changed, *push.misplaced, app.paths.catalog} & after.keys()
    files: Mapping[str, File] = await read_files(app, paths, after)
    baseline = Baseline(
        frozenset(requests_of(before, app.paths.requests)),
        today=at.now.date(),
        catalog=await _catalog_before(app, before, after, files),
    )
    reviewed = review(files, app.paths.requests, app.paths.catalog, baseline)
    crowded = _teams_with_several_files(app, after)
    if _depends_on_others(app, reviewed, push, after) or any(
        app.paths.requests.team_of(path) in crowded for path in push.changed
    ):
        if len(requests_of(after, app.paths.requests)) > LARGE_PUSH and not has_read(app, before):
            return None
        files = await files_of(app, at.head.commit, after)
        held = await _in_force(app, baseline.known_paths, crowded)
        reviewed = await evaluate(app, files, replace(baseline, known_paths=held))
    shown = {*paths, app.paths.catalog}
    problems = tuple(problem for problem in reviewed.problems if problem.path in shown)
    return replace(reviewed, problems=problems), files


async def _catalog_before(
    app: App, before: Tree, after: Tree, files: Mapping[str, File]
) -> ParsedCatalog | None:
    """The catalogue before the push, or its problems; None if it was no file that is read. It costs a call
    where the push changed it.
    """
    path = app.paths.catalog
    entry, file = before.get(path), files.get(path)
    if entry is None or entry.mode not in REGULAR or entry.size > MAX_FILE_BYTES:
        return None
    if entry == after.get(path) and file is not None:
        return read_supported_catalog(path, file.content, platform_check(app.platform))
    return await catalog_of(app, before)


def _depends_on_others(app: App, reviewed: Review, push: TreeDiff, after: Tree) -> bool:
    """GPUs and capacities are counted over all teams, and a model that leaves the catalogue may be in use. A
    changed catalogue with many requests is left to a sweep.
    """
    requests = len(requests_of(after, app.paths.requests))
    if reviewed.in_doubt or (push.catalog and requests <= LARGE_PUSH):
        return True
    if may_exceed_ceilings(reviewed.requests.values(), requests, app.platform.tier):
        return True
    models = [model for request in reviewed.requests.values() for model in request.models]
    return any(
        model.instance_type is not None or reviewed.capacity[model.name].limit is not None for model in models
    )


def _teams_with_several_files(app: App, tree: Tree) -> frozenset[str]:
    teams = repository_state(tree, app.paths.requests).by_team
    return frozenset(
        team for team, files in teams.items() if len(files) > 1 and names.team_problem(team) is None
    )


async def _in_force(app: App, before: frozenset[str], crowded: frozenset[str]) -> frozenset[str]:
    """The requests in force. Of a team with several files it is the one that its product's marker names."""
    products = await asyncio.gather(*(app.gateway.product(names.product(team)) for team in sorted(crowded)))
    named = (marker.path for marker in markers_of(app, products))
    return frozenset(path for path in before if app.paths.requests.team_of(path) not in crowded).union(named)


async def _check_last_days(
    app: App, touched: TreeDiff, branch: BranchFiles, at: _At
) -> tuple[Review, list[str]]:
    """The review without requests whose last day was past when they came, and the teams whose access a
    touched file would end.
    """
    states = await _states(app, branch, _teams_that_may_end(app, touched, branch, at), at.now.date())
    problems = await late_last_days(app, map(_with_new_day, states), branch.reviewed, at.head)
    refused = {problem.path for problem in problems}
    ending = [state.team for state in states if state.is_guarded and state.path not in refused]
    return branch.reviewed.without(problems), ending


def _teams_that_may_end(app: App, touched: TreeDiff, branch: BranchFiles, at: _At) -> list[str]:
    """The teams with a touched file whose last day is near or past, or that lost one of several files."""
    paths = app.paths.requests
    lost = {paths.team_of(path) for path in touched.removed}
    near = (
        path
        for path in touched.changed
        if _ends_soon(branch.reviewed, path, at.now.date()) or paths.team_of(path) in lost
    )
    teams = {paths.team_of(path) for path in near}
    return sorted(team for team in teams if team is not None and names.team_problem(team) is None)


def _ends_soon(reviewed: Review, path: str, today: date) -> bool:
    request = reviewed.requests.get(path)
    return request is not None and request.expires is not None and request.expires < today + SOON


async def _states(app: App, branch: BranchFiles, teams: Sequence[str], today: date) -> list[TeamState]:
    """The state of each of these teams, by its files and its product."""
    products = await asyncio.gather(*(app.gateway.product(names.product(team)) for team in teams))
    by_name = {product.name: product for product in products if product}
    existing = Existing(app.platform.repository, by_name, frozenset())
    return [
        state(branch, existing, team, request_paths_of(branch.tree, team, branch.paths), today)
        for team in teams
    ]


def _with_new_day(found: TeamState) -> TeamState:
    """A new team has no last day in force: so the day in its file is new, also when it has passed."""
    return replace(found, files="new_end") if (found.files, found.mark) == ("expired", "none") else found


async def _missing_teams(app: App, gone: Sequence[str], after: Tree, head: Head) -> MissingTeams:
    """The teams whose file is gone, as the guard sees them. Products are listed only where a file is gone."""
    named = [(app.paths.requests.team_of(path) or "", path) for path in gone if not is_hidden(after, path)]
    if not named:
        return MissingTeams()
    # A team whose file is gone may have no product yet.
    others = [
        MissingTeam(team, path, "", withdrawn=False)
        for team, path in named
        if names.team_problem(team) is None
    ]
    return await find_missing(app, await app.gateway.products(), after, head, others)


def _withdrawn_changes(
    app: App, gone: Iterable[str], missing: MissingTeams, after: Tree, head: Head
) -> list[AccessChange]:
    """A change for each team whose last file is gone and that the guard does not hold."""
    if not after:
        return []
    paths = app.paths.requests
    named = {paths.team_of(path) or "": path for path in gone}
    teams = {
        team
        for team in named
        if names.team_problem(team) is None and not request_paths_of(after, team, paths)
    }
    return [
        withdrawn_change(replace(each, path=named[each.team]), head)
        for each in missing.releasable
        if each.team in teams
    ]
