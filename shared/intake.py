"""From a push, or from a look at everything, to validated access changes on the topic.

Only what the branch says now counts: the head as GitHub states it, compared by trees. An invalid request queues nothing, so what was
provisioned for the team before stays as it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.absence import absence, ours
from shared.domain import names
from shared.domain.guard import Absence, gives_leave
from shared.domain.problem import START, Problem, problem_at
from shared.domain.push import Touched, Tree, compare, homes, requests_of
from shared.domain.review import File, Review, is_read, review
from shared.domain.strict_yaml import LARGEST
from shared.messages import CATALOG_TEAM, AccessChange, Sweep, blob_id
from shared.outcome import Arrived, Done, Event, Outcome
from shared.ports import App, Head
from shared.standing import REGULAR, tree_of
from shared.successors import access_change, sweep

#: With more touched requests than this a push is left to the sweep, which reads everything in one call.
LARGE_PUSH = 50
#: How long GitHub's copies may need to show a push.
COPIES_TAKE = timedelta(seconds=10)
#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(LARGEST + 1)


async def take_push(app: App, push: Arrived, now: datetime) -> str:
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
    if gives_leave(head.message):
        # Which teams it is about, the touched files do not say.
        return await _leave_to_sweep(app, push, "withdrawals are allowed", now)
    touched = compare(before, after, app.places.requests, app.places.catalog)
    if len(touched) > LARGE_PUSH:
        return await _leave_to_sweep(app, push, f"{len(touched)} requests touched at once", now)
    if not (touched or touched.catalog or touched.near_misses):
        return "nothing that concerns access"
    reviewed, files = await _review_touched(app, touched, before, after, head)
    judged = await _judged(app, touched.gone, after, head)
    changes = [*_requested(reviewed, touched.changed, after, head, files), *_withdrawn(app, touched.gone, judged, after, head)]
    catalog = _catalog_change(app, after, head, files) if touched.catalog and reviewed.catalog else []
    envelopes = [access_change(app, change, push.delivery, now) for change in [*catalog, *changes]]
    if catalog and set(requests_of(after, app.places.requests)) - set(touched.changed):
        envelopes.append(sweep(app, Sweep(why="the catalogue changed", verdict=True), f"{push.delivery}/sweep", now))
    await app.bus.send(envelopes)
    return await _report(app, head, len(changes), [*reviewed.problems, *_held(judged)])


async def look_at_everything(app: App, event: Event[Sweep]) -> Outcome:
    """All requests of the branch, teams that are gone from it, and grace periods that have ended."""
    head = await app.repository.head()
    if head is None:
        return Done()
    tree, products, contents = await asyncio.gather(
        tree_of(app.repository, head), app.gateway.products(), app.repository.archive(head.commit)
    )
    files = await _read(app, tree, tree, contents)
    in_force = frozenset(product.marker.path for product in ours(app, products) if product.marker is not None)
    judged = absence(app, products, tree, head.message)
    reviewed = review(files, app.places.requests, app.places.catalog, in_force)
    if event.message.verdict or judged.held:
        await _report(app, head, len(reviewed.requests), [*reviewed.problems, *_held(judged)])
    catalog = _catalog_change(app, tree, head, files) if reviewed.catalog else []
    changes = [*catalog, *_requested(reviewed, reviewed.requests, tree, head, files), *_left_over(judged, head)]
    await app.bus.send([access_change(app, change.model_copy(update={"cause": "sweep"}), event.root, event.now) for change in changes])
    return Done(f"{len(changes)} teams looked at")


async def _tree_before(app: App, push: Arrived) -> Tree | None:
    return {} if push.before is None else await app.repository.tree(push.before)


async def _leave_to_sweep(app: App, push: Arrived, why: str, now: datetime, due: datetime | None = None) -> str:
    await app.bus.send([sweep(app, Sweep(why=why, verdict=True), f"{push.delivery}/sweep", now, due)])
    return f"{why}: everything is looked at"


async def _review_touched(app: App, touched: Touched, before: Tree, after: Tree, head: Head) -> tuple[Review, Mapping[str, File]]:
    """Reads the touched files only, unless others decide too: a second file of a team, or GPUs, which are counted over all teams."""
    paths = {*touched.changed, *touched.near_misses, app.places.catalog} & after.keys()
    held = frozenset(requests_of(before, app.places.requests))
    files = await _read(app, paths, after)
    reviewed = review(files, app.places.requests, app.places.catalog, held)
    dedicated = any(model.instance_type is not None for request in reviewed.requests.values() for model in request.models)
    crowded = _crowded(app, after)
    if dedicated or any(app.places.requests.team_of(path) in crowded for path in touched.changed):
        files = await _read(app, after, after, await app.repository.archive(head.commit))
        held = await _in_force(app, held, crowded)
        reviewed = review(files, app.places.requests, app.places.catalog, held)
    problems = tuple(problem for problem in reviewed.problems if problem.path in paths or problem.path == app.places.catalog)
    return replace(reviewed, problems=problems), files


def _crowded(app: App, tree: Tree) -> frozenset[str]:
    """The teams with more than one file."""
    teams = Counter(app.places.requests.team_of(path) or "" for path in requests_of(tree, app.places.requests))
    return frozenset(team for team, files in teams.items() if files > 1 and names.team_fault(team) is None)


async def _in_force(app: App, before: frozenset[str], crowded: frozenset[str]) -> frozenset[str]:
    """The requests that were in force. Where a team has several files, its product says from which of them it was made."""
    products = await asyncio.gather(*(app.gateway.product(names.product(team)) for team in sorted(crowded)))
    holders = (product.marker.path for product in products if product is not None and product.marker is not None)
    return frozenset(path for path in before if app.places.requests.team_of(path) not in crowded).union(holders)


async def _read(app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None) -> dict[str, File]:
    """The files at these paths. `known` contents, of an archive, count only when they hash to the tree's blob: attributes in the
    repository can change what an archive holds.
    """
    wanted, contents = sorted(paths), dict(known or {})
    needed = [path for path in wanted if is_read(path, app.places.requests, app.places.catalog) and tree[path].mode in REGULAR]
    small = [path for path in needed if tree[path].size <= LARGEST]
    missing = [path for path in small if blob_id(contents.get(path, b""), len(tree[path].blob)) != tree[path].blob]
    contents |= dict(zip(missing, await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing)), strict=True))
    contents |= {path: TOO_LARGE for path in needed if tree[path].size > LARGEST}
    return {path: File(contents.get(path, b"") if path in needed else b"", tree[path].mode) for path in wanted}


def _requested(reviewed: Review, paths: Iterable[str], tree: Tree, head: Head, files: Mapping[str, File]) -> list[AccessChange]:
    """A change per valid request. Without a valid catalogue nothing can be granted."""
    valid = [path for path in paths if path in reviewed.requests] if reviewed.catalog else []
    return [_change(reviewed.requests[path].team, path, head, tree[path].blob, files[path]) for path in valid]


async def _judged(app: App, gone: Iterable[str], after: Tree, head: Head) -> Absence:
    """Asks for the products only when a request is gone."""
    return absence(app, await app.gateway.products(), after, head.message, gone) if gone else Absence()


def _withdrawn(app: App, gone: Iterable[str], judged: Absence, after: Tree, head: Head) -> list[AccessChange]:
    """The teams whose file is gone and that have no other, unless the guard holds withdrawals."""
    if judged.held or not after:
        return []
    paths = app.places.requests
    named = [(paths.team_of(path) or "", path) for path in gone]
    teams = {team: path for team, path in named if names.team_fault(team) is None and not homes(after, team, paths)}
    return [AccessChange(change="withdrawn", team=team, path=path, commit=head.commit) for team, path in sorted(teams.items())]


def _left_over(judged: Absence, head: Head) -> list[AccessChange]:
    """Teams that have objects and no request: newly gone, in their grace period (keys must stay dead), or at its end."""
    return [AccessChange(change="withdrawn", team=each.team, path=each.path, commit=head.commit) for each in judged.let_go]


def _held(judged: Absence) -> list[Problem]:
    """Where the files were, so that whoever looks at the push finds it."""
    return [problem_at(each.path, START, "WithdrawalsHeld", judged.explain()) for each in judged.held]


async def _report(app: App, head: Head, teams: int, problems: Sequence[Problem]) -> str:
    summary = f"{teams} teams queued" + (f", {len(problems)} problems" if problems else "")
    await app.reports.verdict(head.commit, problems, summary)
    return summary


def _catalog_change(app: App, tree: Tree, head: Head, files: Mapping[str, File]) -> list[AccessChange]:
    path = app.places.catalog
    return [_change(CATALOG_TEAM, path, head, tree[path].blob, files[path])]


def _change(team: str, path: str, head: Head, blob: str, file: File) -> AccessChange:
    return AccessChange(change="requested", team=team, path=path, commit=head.commit, blob=blob, text=file.content.decode())
