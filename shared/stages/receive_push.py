"""From a push to validated access changes on the topic.

Only what the branch says now counts: the head as GitHub states it, compared by trees. An invalid request
queues nothing, so what was provisioned for the team before stays as it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared import names
from shared.app import App
from shared.branch.ceilings import may_be_beyond
from shared.branch.decision import tree_of
from shared.branch.evaluation import evaluate, read_files
from shared.branch.last_days import slips
from shared.branch.missing_teams import find_missing, markers_of
from shared.branch.review import Baseline, File, Review, review
from shared.branch.states import SOON
from shared.branch.team_states import BranchFiles, Existing, state
from shared.branch.tree_diff import TreeDiff, diff_trees, request_paths_of, requests_of
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams
from shared.git import Tree, is_hidden
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Push
from shared.messaging.routes import PROVISION_GATEWAY
from shared.ports import Head
from shared.stages.access_changes import catalog_change, held, held_problems, report, requested, withdrawn
from shared.stages.outgoing import access_change, sweep

#: With more touched requests than this a push is left to the sweep, which reads everything in one call.
LARGE_PUSH = 50
#: How long GitHub's copies may need to show a push.
COPIES_TAKE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _At:
    """The branch's head, and when it was looked at."""

    head: Head
    now: datetime


async def queue_changes(app: App, push: Push, now: datetime) -> str:
    """Queue what the push asks for and tell the verdict; returns a line for the delivery's log at GitHub."""
    head = await app.repository.head()
    if head is None:
        return "there is no such branch any more: nothing changes"
    if head.commit == push.before:
        # GitHub answers from a copy that has not seen the push yet.
        return await _leave_to_sweep(app, push, "GitHub does not show the push yet", now, now + COPIES_TAKE)
    after, before = await asyncio.gather(tree_of(app.repository, head), _tree_before(app, push))
    if before is None:
        return await _leave_to_sweep(app, push, "the commit before the push is gone", now)
    if push.allows:
        # Which teams it is about, the touched files do not say.
        return await _leave_to_sweep(app, push, "withdrawals are allowed", now)
    touched = diff_trees(before, after, app.places.requests, app.places.catalog)
    if len(touched) > LARGE_PUSH:
        return await _leave_to_sweep(app, push, f"{len(touched)} requests touched at once", now)
    if not (touched or touched.catalog or touched.near_misses):
        return "nothing that concerns access"
    reviewed, files = await _review_touched(app, touched, before, after, _At(head, now))
    reviewed, guarded = await _by_last_days(
        app, touched, BranchFiles(after, files, reviewed, app.places.requests), _At(head, now)
    )
    if guarded:
        # How many others end, too, the touched files do not say.
        return await _leave_to_sweep(app, push, f"the access of {', '.join(guarded)} would end", now)
    judged = await _judged(app, touched.gone, after, head)
    changes = [
        *requested(reviewed, touched.changed, after, head, files),
        *_withdrawn(app, touched.gone, judged, after, head),
    ]
    catalog = [catalog_change(app, after, head, files)] if touched.catalog and reviewed.catalog else []
    envelopes = [access_change(app, change, push.delivery, now) for change in [*catalog, *changes]]
    envelopes += [
        access_change(app, change, push.delivery, now, PROVISION_GATEWAY) for change in held(judged, head)
    ]
    if catalog and set(requests_of(after, app.places.requests)) - set(touched.changed):
        envelopes.append(
            sweep(app, Sweep(why="the catalogue changed", verdict=True), f"{push.delivery}/sweep", now)
        )
    await app.bus.send(envelopes)
    return await report(app, head, len(changes), [*reviewed.problems, *held_problems(judged)])


async def _tree_before(app: App, push: Push) -> Tree | None:
    return {} if push.before is None else await app.repository.tree(push.before)


async def _leave_to_sweep(app: App, push: Push, why: str, now: datetime, due: datetime | None = None) -> str:
    await app.bus.send([sweep(app, Sweep(why=why, verdict=True), f"{push.delivery}/sweep", now, due)])
    return f"{why}: everything is looked at"


async def _review_touched(
    app: App, push: TreeDiff, before: Tree, after: Tree, at: _At
) -> tuple[Review, Mapping[str, File]]:
    """Reads the touched files only, unless others decide too."""
    paths = {*push.changed, *push.near_misses, app.places.catalog} & after.keys()
    past = Baseline(frozenset(requests_of(before, app.places.requests)), today=at.now.date())
    files = await read_files(app, paths, after)
    reviewed = review(files, app.places.requests, app.places.catalog, past)
    crowded = _crowded(app, after)
    if _others_decide(app, reviewed, push, after) or any(
        app.places.requests.team_of(path) in crowded for path in push.changed
    ):
        files = await read_files(app, after, after, await app.repository.archive(at.head.commit))
        reviewed = await evaluate(app, files, replace(past, held=await _in_force(app, past.held, crowded)))
    problems = tuple(
        problem
        for problem in reviewed.problems
        if problem.path in paths or problem.path == app.places.catalog
    )
    return replace(reviewed, problems=problems), files


def _others_decide(app: App, reviewed: Review, push: TreeDiff, after: Tree) -> bool:
    """GPUs and capacities are counted over all teams; what a catalogue takes away may be in use. Where there
    are many, a sweep looks.
    """
    if reviewed.in_doubt or (push.catalog and len(requests_of(after, app.places.requests)) <= LARGE_PUSH):
        return True
    if may_be_beyond(
        reviewed.requests.values(), len(requests_of(after, app.places.requests)), app.platform.tier
    ):
        return True
    asked = [access for request in reviewed.requests.values() for access in request.models]
    return any(
        access.instance_type is not None or reviewed.ledgers[access.name].limit is not None
        for access in asked
    )


def _crowded(app: App, tree: Tree) -> frozenset[str]:
    """The teams with more than one file."""
    teams = Counter(
        app.places.requests.team_of(path) or "" for path in requests_of(tree, app.places.requests)
    )
    return frozenset(team for team, files in teams.items() if files > 1 and names.team_fault(team) is None)


async def _in_force(app: App, before: frozenset[str], crowded: frozenset[str]) -> frozenset[str]:
    """The requests that were in force. Where a team has several files, its product says from which of them it
    was made.
    """
    products = await asyncio.gather(*(app.gateway.product(names.product(team)) for team in sorted(crowded)))
    holders = (marker.path for marker in markers_of(app, products))
    return frozenset(path for path in before if app.places.requests.team_of(path) not in crowded).union(
        holders
    )


async def _by_last_days(
    app: App, touched: TreeDiff, branch: BranchFiles, at: _At
) -> tuple[Review, list[str]]:
    """The review without requests whose last day was past when they came; and the teams whose access a
    touched file would end.

    Products are asked for only where a last day is near or past, or where a team lost one of several files.
    """
    paths, today = app.places.requests, at.now.date()
    lost = {paths.team_of(path) for path in touched.gone}
    near = (
        path
        for path in touched.changed
        if _ends_soon(branch.reviewed, path, today) or paths.team_of(path) in lost
    )
    teams = sorted(
        {
            team
            for path in near
            if (team := paths.team_of(path)) is not None and names.team_fault(team) is None
        }
    )
    products = [
        found
        for found in await asyncio.gather(*(app.gateway.product(names.product(team)) for team in teams))
        if found
    ]
    existing = Existing(app.platform.repository, {product.name: product for product in products}, frozenset())
    found = [
        state(branch, existing, team, request_paths_of(branch.tree, team, paths), today) for team in teams
    ]
    # A new team has no day that was in force: its day is new.
    dated = (
        replace(each, files="new_end") if (each.files, each.mark) == ("over", "none") else each
        for each in found
    )
    wrong = await slips(app, dated, branch.reviewed, at.head)
    refused = {problem.path for problem in wrong}
    return branch.reviewed.without(wrong), [
        each.team for each in found if each.is_guarded and each.path not in refused
    ]


def _ends_soon(reviewed: Review, path: str, today: date) -> bool:
    request = reviewed.requests.get(path)
    return request is not None and request.expires is not None and request.expires < today + SOON


async def _judged(app: App, gone: Sequence[str], after: Tree, head: Head) -> MissingTeams:
    """Asks for the products only when a request is gone. Its team may have no product yet."""
    named = [(app.places.requests.team_of(path) or "", path) for path in gone if not is_hidden(after, path)]
    if not named:
        return MissingTeams()
    others = [
        MissingTeam(team, path, "", withdrawn=False) for team, path in named if names.team_fault(team) is None
    ]
    return await find_missing(app, await app.gateway.products(), after, head, others)


def _withdrawn(
    app: App, gone: Iterable[str], judged: MissingTeams, after: Tree, head: Head
) -> list[AccessChange]:
    """The teams whose file is gone and that have no other, without those that the guard holds."""
    if not after:
        return []
    paths = app.places.requests
    named = {paths.team_of(path) or "": path for path in gone}
    teams = {
        team for team in named if names.team_fault(team) is None and not request_paths_of(after, team, paths)
    }
    return [
        withdrawn(replace(each, path=named[each.team]), head) for each in judged.let_go if each.team in teams
    ]
