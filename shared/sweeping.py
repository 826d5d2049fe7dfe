"""The branch against the world: what differs becomes access changes; what is somebody else's is told.

Lists and markers show nearly everything. What they cannot show (a policy that was edited, a key that was made new) a deep look finds, at
each sweep for another slice of the teams, so that everybody's turn comes once a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import telemetry
from shared.absence import absence, markers_of
from shared.app import App
from shared.changes import catalog_change, change_of, held, held_problems, report, withdrawn
from shared.deep_look import look_deeply
from shared.domain import drift, leftovers, names, playground
from shared.domain.catalog import Catalog
from shared.domain.guard import Absence, Gone
from shared.domain.letters import Trouble
from shared.domain.push import Tree, homes, requests_of
from shared.domain.readiness import Ready, readiness
from shared.domain.review import File, Past, Review
from shared.domain.world import Finding, Times, Wanted, World
from shared.letters import letters
from shared.messages import CATALOG_TEAM, AccessChange, Sweep
from shared.outcome import Done, Event, Outcome
from shared.ports import Envelope, Head
from shared.redelivery import redeliver_missed
from shared.stages import DELIVER_KEYS, PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_PROJECTS, PROVISION_WORKSPACES
from shared.standing import tree_of
from shared.successors import access_change
from shared.survey import survey
from shared.verdict import judge, read_files

#: The stages of the topic that have work for the catalogue, and for a team.
OF_CATALOG, OF_TEAM = (PROVISION_CATALOG, PROVISION_WORKSPACES), (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS)
#: Without a valid catalogue no grace period ends for whoever has a file: nobody knows whether it is valid.
FOREVER = timedelta(days=36_500)
#: Keys are asked for by the gateway's stage: while they have a letter, it is not sent there either.
ASKED_FOR_BY = {DELIVER_KEYS.name: PROVISION_GATEWAY.name}


@dataclass(frozen=True, slots=True)
class Branch:
    """What the branch says: its files, the requests among them that are valid, the teams that are gone from it.

    `lapsed` are teams whose file is there and not valid, and whose access is over by what was granted last; with the file's path.
    """

    head: Head
    tree: Tree
    files: Mapping[str, File]
    reviewed: Review
    judged: Absence
    lapsed: Mapping[str, str]

    def wanted(self, now: datetime) -> Iterator[Wanted]:
        for path, request in self.reviewed.requests.items():
            yield Wanted(request, path, request.expires is not None and request.expires < now.date())


async def look_at_everything(app: App, event: Event[Sweep]) -> Outcome:
    """Queue a change for every team that is not as the branch says. Where nothing differs nothing is written and no team is read."""
    head = await app.repository.head()
    if head is None:
        telemetry.found_of_others("the branch is not there: nothing is provisioned, and what was granted stays")
        return Done()
    (branch, world), _ = await asyncio.gather(observe(app, head, event.now), redeliver_missed(app, event.now))
    reviewed = branch.reviewed
    if event.message.verdict or branch.judged.held:
        await report(app, head, len(reviewed.requests), [*reviewed.problems, *held_problems(branch.judged)])
    deep = await look_deeply(app, reviewed.catalog, branch.wanted(event.now), world, event)
    findings = [*_compare(app, branch, world, event.now), *deep.findings]
    for stranger in (*drift.of_others(app.platform.repository, world), *playground.of_others(app.platform.repository, world)):
        telemetry.found_of_others(stranger)
    if reviewed.catalog is None:
        telemetry.found_of_others("the catalogue is not valid: no request can be judged, and what was granted stays")
    if not head.protected:
        telemetry.found_of_others(f"the branch is not protected: whoever can push to it, can grant access ({head.commit})")
    changes = list(_changes(app, branch, findings))
    # A push that is left to a sweep was promised to be acted on.
    only_told = app.sweep_report_only and not event.message.verdict
    queued = 0 if only_told else await _queue(app, event, changes)
    if deep.failures:
        # Only now: what could not be looked at keeps nothing else from being put right.
        raise deep.failures[0]
    return Done(f"{len(changes)} of {len(reviewed.requests)} teams differ, {queued} messages queued")


async def unsettled_teams(app: App, now: datetime) -> frozenset[str] | None:
    """The teams that are not as the branch says, or not yet, or of which it says nothing that is valid: by lists, as a sweep sees them.
    None when the branch does not say.
    """
    head = await app.repository.head()
    branch, world = (None, None) if head is None else await observe(app, head, now)
    if branch is None or world is None or branch.reviewed.catalog is None:
        return None
    held = (each.team for each in branch.judged.held)
    asked = {app.places.requests.team_of(path) or "" for path in requests_of(branch.tree, app.places.requests)}
    refused = asked - {request.team for request in branch.reviewed.requests.values()}
    differ = (finding.team for finding in _compare(app, branch, world, now))
    return frozenset((*differ, *held, *refused, *_without_models(world)))


async def observe(app: App, head: Head, now: datetime) -> tuple[Branch, World]:
    """What should be and what is, side by side."""
    tree, products, contents = await asyncio.gather(
        tree_of(app.repository, head), app.gateway.products(), app.repository.archive(head.commit)
    )
    world, files = await asyncio.gather(survey(app, products), read_files(app, tree, tree, contents))
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    reviewed = await judge(app, files, Past(in_force, today=now.date()), products)
    repository, path = app.platform.repository, app.places.catalog
    teams = leftovers.teams_with_objects(repository, world) | playground.teams_let_in(world)
    known = [Gone(team, path, "", withdrawn=not leftovers.is_in_use(team, repository, world)) for team in teams]
    judged = absence(app, products, tree, head.message, known)
    return Branch(head, tree, files, reviewed, judged, _lapsed(app, teams, tree, reviewed, _Seen(world, now))), world


@dataclass(frozen=True, slots=True)
class _Seen:
    """The world, and when it was looked at."""

    world: World
    now: datetime


def _lapsed(app: App, teams: frozenset[str], tree: Tree, reviewed: Review, seen: _Seen) -> dict[str, str]:
    """Nobody keeps access beyond its day by a file that cannot be read, and no grace period lasts because of one."""
    valid = {request.team for request in reviewed.requests.values()}
    marked = {marker.team: marker for marker in markers_of(app, seen.world.products.values())}
    lapsed: dict[str, str] = {}
    for team in teams - valid:
        marker, paths = marked.get(team), homes(tree, team, app.places.requests)
        unmarked = names.product(team) not in seen.world.products and not leftovers.is_in_use(team, app.platform.repository, seen.world)
        if paths and ((unmarked and reviewed.catalog is not None) if marker is None else marker.is_over(seen.now.date())):
            lapsed[team] = marker.path if marker is not None and marker.path in paths else paths[0]
    return lapsed


async def _queue(app: App, event: Event[Sweep], changes: Sequence[AccessChange]) -> int:
    """What waits among the dead letters for people is not queued again, unless a push wants everything to be tried."""
    wanted = changes and not event.message.verdict
    trouble = {letter.trouble async for letter in letters(app) if letter.stands(event.now)} if wanted else set()
    envelopes = [envelope for change in changes for envelope in _envelopes(app, event, change, trouble)]
    await app.bus.send(envelopes)
    return len(envelopes)


def _envelopes(app: App, event: Event[Sweep], change: AccessChange, trouble: Container[Trouble]) -> list[Envelope]:
    """One to all stages; when some of them have a letter about it, one to each of the others that has work for the team. That a team is
    held concerns its product only.
    """
    if change.change == "held":
        return [access_change(app, change, event.root, event.now, PROVISION_GATEWAY)]
    stages = (*OF_CATALOG, *OF_TEAM, DELIVER_KEYS)
    stuck = {ASKED_FOR_BY.get(stage.name, stage.name) for stage in stages if (change.team, change.revision, stage.name) in trouble}
    if not stuck:
        return [access_change(app, change, event.root, event.now)]
    free = [stage for stage in (OF_CATALOG if change.team == CATALOG_TEAM else OF_TEAM) if stage.name not in stuck]
    return [access_change(app, change, event.root, event.now, stage) for stage in free]


def _without_models(world: World) -> Iterator[str]:
    """Teams whose workspaces are there and do not serve, or not yet: lists show it, and no sweep can mend it."""
    for name, found in world.workspaces.items():
        marker = world.namespaces[name].marker if name in world.namespaces else None
        if marker is not None and not all(isinstance(readiness(each.conditions), Ready) for each in found):
            yield marker.team


def _compare(app: App, branch: Branch, world: World, now: datetime) -> Iterator[Finding]:
    """By lists alone. Without a valid catalogue nothing can be granted, and what was granted stays."""
    catalog = branch.reviewed.catalog
    times = Times(now, app.limits.grace, app.limits.workspace_grace, app.limits.key_overlap)
    if catalog is not None:
        yield from _about(CATALOG_TEAM, drift.of_catalog(catalog, app.platform, world))
        for wanted in branch.wanted(now):
            differs = _ended(app, wanted.request.team, times, world) if wanted.over else _unlike(app, wanted, catalog, times, world)
            yield from _about(wanted.request.team, differs)
    for gone in branch.judged.let_go:
        yield from _about(gone.team, _ended(app, gone.team, times, world))
    for team in branch.lapsed:
        yield from _about(
            team, _ended(app, team, times if catalog is not None else replace(times, grace=FOREVER, workspace_grace=FOREVER), world)
        )
    for each in branch.judged.held:
        yield from _about(each.team, leftovers.of_held(each.team, world))


def _unlike(app: App, wanted: Wanted, catalog: Catalog, times: Times, world: World) -> Iterator[str]:
    yield from drift.of_team(wanted, catalog, app.platform, world, times)
    yield from playground.of_team(wanted, app.platform, times, world)


def _ended(app: App, team: str, times: Times, world: World) -> Iterator[str]:
    yield from leftovers.of_access_that_ended(team, times, world)
    yield from playground.of_access_that_ended(team, app.platform.repository, times, world)


def _about(team: str, differences: Iterable[str]) -> Iterator[Finding]:
    return (Finding(team, what) for what in differences)


def _changes(app: App, branch: Branch, findings: Iterable[Finding]) -> Iterator[AccessChange]:
    """One per team, whatever the number of its findings."""
    paths = {**branch.lapsed} | {request.team: path for path, request in branch.reviewed.requests.items()}
    told: set[str] = set()
    for finding in findings:
        telemetry.found(finding.team, finding.what)
        if finding.team not in told:
            told.add(finding.team)
            change = _change(app, branch, finding.team, paths.get(finding.team))
            yield change.model_copy(update={"cause": "sweep"})


def _change(app: App, branch: Branch, team: str, path: str | None) -> AccessChange:
    if team == CATALOG_TEAM:
        return catalog_change(app, branch.tree, branch.head, branch.files)
    if path in branch.reviewed.requests:
        return change_of(team, path, branch.head, branch.tree[path].blob, branch.files[path])
    if path is not None:
        return AccessChange(change="requested", team=team, path=path, commit=branch.head.commit, blob=branch.tree[path].blob)
    for change in held(branch.judged, branch.head):
        if change.team == team:
            return change
    [gone] = [each for each in branch.judged.gone if each.team == team]
    return withdrawn(gone, branch.head, branch.judged.leave)
