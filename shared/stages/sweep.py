"""The branch against the world: what differs becomes access changes; what is somebody else's is told.

Lists and markers show nearly everything. What they cannot show (a policy that was edited, a key that was made
new) a deep look finds, at each sweep for another slice of the teams, so that everybody's turn comes once a
day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from shared import names, telemetry
from shared.app import App
from shared.branch.account import Seen
from shared.branch.decision import tree_of
from shared.branch.endings import judged
from shared.branch.evaluation import evaluate, read_files
from shared.branch.missing_teams import markers_of
from shared.branch.review import Baseline, File, Review
from shared.branch.states import TeamState
from shared.branch.team_states import BranchFiles, Existing, states
from shared.branch.tree_diff import requests_of
from shared.branch.withdrawal_guard import MissingTeams
from shared.catalog.catalog import Catalog
from shared.errors import MergekeyError, Rejected
from shared.git import Tree
from shared.inventory import drift, orphans, project_drift
from shared.inventory.dead_letters import letters
from shared.inventory.list_all import list_all
from shared.inventory.snapshot import DesiredTeam, Finding, Snapshot, Times
from shared.marker import NOWHERE
from shared.messaging.dead_letters import Trouble
from shared.messaging.messages import CATALOG_TEAM, AccessChange, Sweep
from shared.messaging.outcomes import Done, Event, Outcome
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
)
from shared.names import FRAGMENT
from shared.policies.product_policy import requested_model_fragment
from shared.ports import Head, OutgoingMessage
from shared.resources.readiness import Ready, readiness
from shared.stages.access_changes import catalog_change, change_of, held_problems, report
from shared.stages.deep_sweep import look_deeply
from shared.stages.outgoing import access_change
from shared.stages.redelivery import redeliver_missed
from shared.stages.upgrade import Portion, is_first_sweep, portion

#: The stages of the topic that have work for the catalogue, and for a team.
OF_CATALOG, OF_TEAM = (
    (PROVISION_CATALOG, PROVISION_WORKSPACES),
    (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS),
)
#: Where nobody can say what the branch asks for, no grace period ends.
FOREVER = timedelta(days=36_500)
#: Keys are asked for by the gateway's stage: while they have a letter, it is not sent there either.
ASKED_FOR_BY = {DELIVER_KEYS.name: PROVISION_GATEWAY.name}


@dataclass(frozen=True, slots=True)
class Branch:
    """What the branch says: its files, the requests among them that are valid, the state of every team, what
    the guard says.

    `unlisted`: why its tree is not known. Without a branch there is no head.
    """

    head: Head | None
    tree: Tree
    files: Mapping[str, File]
    reviewed: Review
    teams: Mapping[str, TeamState]
    judged: MissingTeams
    unlisted: Rejected | None = None

    @property
    def wanted(self) -> list[DesiredTeam]:
        """The requests that are to be brought about."""
        granted = (
            found
            for found in self.teams.values()
            if found.action.startswith("grant") and not self.judged.holds(found.team)
        )
        return [
            DesiredTeam(found.request, found.path, False) for found in granted if found.request is not None
        ]


async def run_sweep(app: App, event: Event[Sweep]) -> Outcome:
    """Queue a change for every team that is not as the branch says. Where nothing differs nothing is written
    and no team is read.
    """
    head = await app.repository.head()
    (branch, world), _ = await asyncio.gather(observe(app, head, event.now), redeliver_missed(app, event.now))
    reviewed = branch.reviewed
    if head is not None and (event.message.verdict or branch.judged.held):
        await report(app, head, len(reviewed.requests), [*reviewed.problems, *held_problems(branch.judged)])
    deep = await look_deeply(app, reviewed.catalog, branch.wanted, world, event)
    findings = [*_compare(app, branch, world, event.now), *deep.findings]
    for stranger in (
        *drift.unmanaged(app.platform.repository, world),
        *project_drift.unmanaged_readers(app.platform.repository, world),
    ):
        telemetry.unmanaged_resource(stranger)
    for text in _of_the_branch(branch):
        telemetry.unmanaged_resource(text)
    # A push that is left to a sweep was promised to be acted on.
    only_told = app.sweep_report_only and not event.message.verdict
    first = is_first_sweep(world) and not event.message.verdict
    portioned = await portion(app, branch.tree, branch.teams.values(), findings)
    if portioned.waiting:
        telemetry.portioned(portioned.queued, len(portioned.waiting))
    changes = [
        change
        for change in _changes(app, branch, findings)
        if not _waits(branch, change, portioned, first=first)
    ]
    queued = 0 if only_told else await _queue(app, event, changes)
    if first and not only_told:
        await app.gateway.put_fragment(FRAGMENT, requested_model_fragment())
    for failure in (branch.unlisted, *deep.failures):
        # Only now: what could not be looked at keeps nothing else from being put right.
        if failure is not None:
            raise failure
    return Done(f"{len(changes)} of {len(reviewed.requests)} teams differ, {queued} messages queued")


def _waits(branch: Branch, change: AccessChange, portioned: Portion, *, first: bool) -> bool:
    """Whether a later sweep does it: a team whose turn has not come after an upgrade, or whose access would
    end by rules that are new.
    """
    if change.team in portioned.waiting:
        return True
    found = branch.teams.get(change.team)
    ends = (
        found is not None
        and found.mark != "withdrawn"
        and found.mark != "none"
        and not found.action.startswith("grant")
    )
    if first and ends:
        telemetry.ends_by_new_rules(change.team)
    return first and ends


def _of_the_branch(branch: Branch) -> Iterator[str]:
    if branch.head is None:
        yield "the branch is not there: nothing is provisioned, and what was granted stays"
        return
    if branch.reviewed.catalog is None:
        yield "the catalogue is not valid: no request can be judged, and what was granted stays"
    if not branch.head.protected:
        yield f"the branch is not protected: whoever can push to it, can grant access ({branch.head.commit})"


async def unsettled_teams(app: App, now: datetime) -> frozenset[str] | None:
    """The teams that are not as the branch says, or not yet, or of which it says nothing that is valid: by
    lists, as a sweep sees them. None when the branch does not say.
    """
    head = await app.repository.head()
    branch, world = (None, None) if head is None else await observe(app, head, now)
    if branch is None or world is None or branch.reviewed.catalog is None:
        return None
    held = (each.team for each in branch.judged.held)
    asked = {
        app.places.requests.team_of(path) or "" for path in requests_of(branch.tree, app.places.requests)
    }
    refused = asked - {request.team for request in branch.reviewed.requests.values()}
    differ = (finding.team for finding in _compare(app, branch, world, now))
    return frozenset((*differ, *held, *refused, *_without_models(app.platform.repository, world)))


async def observe(app: App, head: Head | None, now: datetime) -> tuple[Branch, Snapshot]:
    """What should be and what is, side by side."""
    (tree, unlisted), products, contents = await asyncio.gather(
        _tree(app, head), app.gateway.products(), _contents(app, head)
    )
    world, files = await asyncio.gather(list_all(app, products), read_files(app, tree, tree, contents))
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    reviewed = await evaluate(
        app, files, Baseline(in_force, today=now.date()), Seen(products, world.workspaces)
    )
    repository = app.platform.repository
    teams = orphans.teams_with_objects(repository, world) | project_drift.teams_with_roles(world)
    in_use = frozenset(team for team in teams if orphans.is_in_use(team, repository, world))
    existing, files_of = (
        Existing(repository, world.products, in_use),
        BranchFiles(tree, files, reviewed, app.places.requests),
    )
    if head is None or not tree:
        return Branch(
            head,
            tree,
            files,
            reviewed,
            states(files_of, existing, teams, now.date()),
            MissingTeams(),
            unlisted,
        ), world
    found = await judged(app, files_of, existing, teams, head, now.date())
    return Branch(head, tree, files, found.reviewed, found.teams, found.absence), world


async def _contents(app: App, head: Head | None) -> Mapping[str, bytes]:
    return {} if head is None else await app.repository.archive(head.commit)


async def _tree(app: App, head: Head | None) -> tuple[Tree, Rejected | None]:
    """What is too large to be listed says as little as a branch that is not there."""
    try:
        return ({} if head is None else await tree_of(app.repository, head)), None
    except Rejected as error:
        return {}, error


async def _queue(app: App, event: Event[Sweep], changes: Sequence[AccessChange]) -> int:
    """What waits among the dead letters for people is not queued again, unless a push wants everything to be
    tried.
    """
    wanted = changes and not event.message.verdict
    trouble = (
        {letter.trouble async for letter in letters(app) if letter.stands(event.now)} if wanted else set()
    )
    envelopes = [envelope for change in changes for envelope in _envelopes(app, event, change, trouble)]
    await app.bus.send(envelopes)
    return len(envelopes)


def _envelopes(
    app: App, event: Event[Sweep], change: AccessChange, trouble: Container[Trouble]
) -> list[OutgoingMessage]:
    """One to all stages; when some of them have a letter about it, one to each of the others that has work
    for the team. That a team is held concerns its product only.
    """
    if change.change == "held":
        return [access_change(app, change, event.root, event.now, PROVISION_GATEWAY)]
    stages = (*OF_CATALOG, *OF_TEAM, DELIVER_KEYS)
    stuck = {
        ASKED_FOR_BY.get(stage.name, stage.name)
        for stage in stages
        if (change.team, change.revision, stage.name) in trouble
    }
    if not stuck:
        return [access_change(app, change, event.root, event.now)]
    free = [
        stage for stage in (OF_CATALOG if change.team == CATALOG_TEAM else OF_TEAM) if stage.name not in stuck
    ]
    return [access_change(app, change, event.root, event.now, stage) for stage in free]


def _without_models(repository: int, world: Snapshot) -> Iterator[str]:
    """Teams whose workspaces are there and do not serve, or not yet: lists show it, and no sweep can mend
    it.
    """
    for name, found in world.workspaces.items():
        marker = world.namespaces[name].marker if name in world.namespaces else None
        if marker is None or marker.repository != repository or name != names.namespace(marker.team):
            continue
        if not all(isinstance(readiness(each.conditions), Ready) for each in found):
            yield marker.team


def _compare(app: App, branch: Branch, world: Snapshot, now: datetime) -> Iterator[Finding]:
    """By lists alone, team by team: one that cannot be compared costs no other anything."""
    catalog, times = (
        branch.reviewed.catalog,
        Times(now, app.limits.grace, app.limits.workspace_grace, app.limits.key_overlap),
    )
    if catalog is not None:
        yield from _about(CATALOG_TEAM, drift.catalog_drift(catalog, app.platform, world))
    for team, found in branch.teams.items():
        try:
            yield from list(_about(team, _differences(app, branch, found, times, world)))
        except MergekeyError as error:
            telemetry.not_compared(team, error)


def _differences(app: App, branch: Branch, found: TeamState, times: Times, world: Snapshot) -> Iterator[str]:
    """What differs of one team, by its cell of the table."""
    held = branch.judged.holds(found.team)
    match found.action:
        case "grant" | "grant?":
            if found.request is not None and branch.reviewed.catalog is not None and not held:
                yield from _unlike(
                    app, DesiredTeam(found.request, found.path, False), branch.reviewed.catalog, times, world
                )
        case "end?" if held:
            yield from orphans.of_held(found.team, world)
        case "freeze":
            yield from _ended(app, found.team, replace(times, grace=FOREVER, workspace_grace=FOREVER), world)
        case "end?" | "end" | "rest":
            yield from _ended(app, found.team, times, world)
        case _:
            return


def _unlike(app: App, wanted: DesiredTeam, catalog: Catalog, times: Times, world: Snapshot) -> Iterator[str]:
    yield from drift.team_drift(wanted, catalog, app.platform, world, times)
    yield from project_drift.project_drift(wanted, app.platform, times, world)


def _ended(app: App, team: str, times: Times, world: Snapshot) -> Iterator[str]:
    yield from orphans.of_access_that_ended(team, times, world)
    yield from project_drift.ended_access(team, app.platform.repository, times, world)


def _about(team: str, differences: Iterable[str]) -> Iterator[Finding]:
    return (Finding(team, what) for what in differences)


def _changes(app: App, branch: Branch, findings: Iterable[Finding]) -> Iterator[AccessChange]:
    """One per team, whatever the number of its findings."""
    told: set[str] = set()
    for finding in findings:
        telemetry.found(finding.team, finding.what)
        if finding.team not in told:
            told.add(finding.team)
            try:
                yield _change(app, branch, finding.team).model_copy(update={"cause": "sweep"})
            except ValidationError:
                telemetry.not_queued(finding.team)


def _change(app: App, branch: Branch, team: str) -> AccessChange:
    """Raises ValidationError for what no message can say."""
    if team == CATALOG_TEAM:
        assert branch.head is not None
        return catalog_change(app, branch.tree, branch.head, branch.files)
    found, entry = branch.teams[team], branch.tree.get(branch.teams[team].path)
    commit, granted = _commits(branch, found)
    if found.action.endswith("?") and branch.judged.holds(team):
        return AccessChange(change="held", team=team, path=found.path, commit=commit)
    if entry is None or found.files in ("gone", "junk"):
        return AccessChange(change="withdrawn", team=team, path=found.path, commit=commit, granted=granted)
    if found.request is not None and branch.head is not None and found.action.startswith("grant"):
        return change_of(team, found.path, branch.head, entry.blob, branch.files[found.path])
    return AccessChange(change="requested", team=team, path=found.path, commit=commit, blob=entry.blob)


def _commits(branch: Branch, found: TeamState) -> tuple[str, str]:
    """The branch's head, or what stands for it where there is none, and the commit that the team's access
    comes from.
    """
    granted = found.marker.commit if found.marker is not None else ""
    return (branch.head.commit if branch.head is not None else granted or NOWHERE), granted
