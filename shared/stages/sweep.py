"""The sweep compares the branch with Azure and the cluster: differences become access changes, and objects of
others are logged.

Lists and markers show nearly everything. A deep sweep finds the rest (a policy that was edited, a key that
was renewed by hand), at each sweep for another slice of the teams, so that each team's turn comes once a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shared import names, telemetry
from shared.app import App
from shared.branch.account import KnownObjects
from shared.branch.decision import tree_of
from shared.branch.endings import evaluate_teams
from shared.branch.evaluation import evaluate, files_of
from shared.branch.missing_teams import markers_of
from shared.branch.platform_checks import platform_check
from shared.branch.replacements import due_for, replacement_warnings
from shared.branch.repository_state import requests_of
from shared.branch.review import Baseline, File, Review, catalog_in
from shared.branch.states import TeamState
from shared.branch.team_states import BranchFiles, Existing, states
from shared.branch.withdrawal_guard import MissingTeams
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem
from shared.errors import LabelLost, MergekeyError, NotManaged, Rejected
from shared.git import Tree
from shared.inventory import owned_teams
from shared.inventory.controller_findings import controller_findings
from shared.inventory.dead_letters import letters
from shared.inventory.differences import (
    Difference,
    Plans,
    differences,
    plans_for_catalog,
    plans_to_grant,
    plans_to_hold,
    plans_to_withdraw,
    repaired_teams,
)
from shared.inventory.list_all import list_all
from shared.inventory.namespaces import going, labelled, namespace_findings
from shared.inventory.road_findings import road_findings, upgrades_due
from shared.inventory.snapshot import ActualTeam, DesiredTeam, Snapshot, Times
from shared.inventory.unmanaged import unmanaged
from shared.marker import NOWHERE
from shared.messaging.dead_letters import Letter, Trouble
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Done, Event, Outcome
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
)
from shared.names import CATALOG_TEAM, FRAGMENT
from shared.policies.product_policy import requested_model_fragment
from shared.ports import Head, OutgoingMessage
from shared.resources.desired import Platform, shared_models
from shared.resources.plan import Pending, known
from shared.resources.route_upgrade import fails
from shared.resources.routes import names_no_host
from shared.stages.access_changes import catalog_change, change_of, held_problems, idle_stages, report
from shared.stages.deep_sweep import NOTHING_READ, DeepSnapshot, read_deeply
from shared.stages.gateway_controller import platform_of
from shared.stages.kaito_release import release_notes
from shared.stages.open_ways import seen_open_ways, way_problems
from shared.stages.outgoing import access_change
from shared.stages.redelivery import redeliver_missed
from shared.stages.upgrade import is_first_sweep, portion
from shared.stages.workspace_roads import host_beside_others

#: The stages of the topic that have work for the catalogue, and for a team.
OF_CATALOG = (PROVISION_CATALOG, PROVISION_WORKSPACES)
OF_TEAM = (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS)
#: The gateway's stage queues the delivery of keys: while that one has a dead letter, nothing is sent there.
QUEUED_BY = {DELIVER_KEYS.name: PROVISION_GATEWAY.name}


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch's files, the review of them, the state of every team, and the teams that the guard holds.

    `platform` knows whose Gateway it is, where that can be told. `unlisted`: why the tree could
    not be read. Without a branch there is no head.
    """

    head: Head | None
    tree: Tree
    files: Mapping[str, File]
    reviewed: Review
    teams: Mapping[str, TeamState]
    judged: MissingTeams
    platform: Platform
    unlisted: Rejected | None = None

    @property
    def desired_teams(self) -> list[DesiredTeam]:
        """The teams whose requests are granted."""
        granted = (
            state
            for state in self.teams.values()
            if state.action.startswith("grant") and not self.judged.holds(state.team)
        )
        return [DesiredTeam(state.request, state.path) for state in granted if state.request is not None]


async def run_sweep(app: App, event: Event[Sweep]) -> Outcome:
    """Queue an access change for every team that is not as the branch says. Where nothing differs nothing is
    written, and no team is read individually.
    """
    head = await app.repository.head()
    (branch, snapshot), _ = await asyncio.gather(
        observe(app, head, event.now), redeliver_missed(app, event.now)
    )
    reviewed, notes = branch.reviewed, await _platform_notes(app, branch, snapshot)
    if head is not None and (event.message.verdict or branch.judged.held):
        problems = [
            *reviewed.problems,
            *held_problems(branch.judged),
            *notes,
            *_replacements(app, branch, snapshot),
        ]
        await report(app, head, len(reviewed.requests), problems)
    deep = await read_deeply(app, reviewed.catalog, branch.desired_teams, snapshot, event)
    host = await _host(app, snapshot)
    findings = [*_compare(app, branch, snapshot, event.now, deep), *_upgrades(branch, snapshot, host)]
    texts = (
        *_unmanaged(app, branch, snapshot, event.now),
        *road_findings(snapshot, deep.roads),
        *controller_findings(snapshot, branch.platform, host),
        *(note.message for note in notes),
    )
    for text in texts:
        telemetry.unmanaged_resource(text)
    changes, queued = await _queue_due(app, event, branch, snapshot, findings)
    for failure in (branch.unlisted, *deep.failures):
        # Raised last, so that a team that could not be read keeps no other from being put right.
        if failure is not None:
            raise failure
    note = f"{changes} of {len(reviewed.requests)} teams differ, {queued} messages queued"
    leaving = going(app.platform.repository, snapshot)
    return Done(f"{note}, {leaving} namespaces are being deleted" if leaving else note)


async def _platform_notes(app: App, branch: Branch, snapshot: Snapshot) -> tuple[Problem, ...]:
    """What is told of the cluster at the catalogue: its release of KAITO, and ways around the gateway."""
    catalog, path = branch.reviewed.catalog, app.paths.catalog
    releases = await release_notes(app, catalog, branch.files)
    is_used = any(known(snapshot.workspaces, {}).values())
    if not _uses_gpus(catalog, snapshot):
        return releases
    return (*releases, *way_problems(await seen_open_ways(app), path, is_used=is_used))


def _uses_gpus(catalog: Catalog | None, snapshot: Snapshot) -> bool:
    """Whether workspaces stand, or could be asked for."""
    return any(known(snapshot.workspaces, {}).values()) or (catalog is not None and catalog.has_workspaces)


def _replacements(app: App, branch: Branch, snapshot: Snapshot) -> list[Problem]:
    """Warnings at the catalogue for the workspaces that will be made anew or restarted."""
    catalog, path = branch.reviewed.catalog, app.paths.catalog
    if catalog is None or app.cluster is None:
        return []
    asked = [(each.request.team, each.request.models) for each in branch.desired_teams]
    due = [
        each
        for team, models in (*asked, (CATALOG_TEAM, shared_models(catalog)))
        for each in due_for(team, models, catalog, snapshot.team(team).workspaces.lasting)
    ]
    return replacement_warnings(path, branch.files[path].content, catalog, due)


async def _queue_due(
    app: App, event: Event[Sweep], branch: Branch, snapshot: Snapshot, findings: Sequence[Difference]
) -> tuple[int, int]:
    """Queue the changes whose turn it is. Returns how many there are, and how many messages were queued."""
    # A sweep to which a push was left acts in any case.
    reports_only = app.sweep_report_only and not event.message.verdict
    is_first = is_first_sweep(snapshot) and not event.message.verdict
    upgrades = await portion(app, branch.tree, branch.teams.values(), findings)
    if upgrades.waiting:
        telemetry.portioned(upgrades.queued, len(upgrades.waiting))
    changes = [
        change
        for change in _changes(app, branch, findings)
        if change.team not in upgrades.waiting and not (is_first and _ends_by_new_rules(branch, change.team))
    ]
    if reports_only:
        return len(changes), 0
    idle = _idle_stages(branch, snapshot, changes)
    curable = Curable(repaired_teams(findings, snapshot), labelled(app.platform.repository, snapshot))
    queued = await _queue(app, event, changes, idle, curable)
    if is_first:
        await app.gateway.put_fragment(FRAGMENT, requested_model_fragment())
    return len(changes), queued


def _ends_by_new_rules(branch: Branch, team: str) -> bool:
    """Whether the first sweep after an upgrade would end the team's access: it only logs that."""
    found = branch.teams.get(team)
    if found is None or found.mark in ("withdrawn", "none") or found.action.startswith("grant"):
        return False
    telemetry.ends_by_new_rules(team)
    return True


def _unmanaged(app: App, branch: Branch, snapshot: Snapshot, now: datetime) -> Iterator[str]:
    """Objects and role assignments of others, namespaces that need a person, and what is wrong with the
    branch itself.
    """
    repository = app.platform.repository
    yield from unmanaged(repository, snapshot)
    yield from namespace_findings(repository, snapshot, branch.reviewed.catalog, now)
    if branch.head is None:
        yield "the branch is not there: nothing is provisioned, and what was granted stays"
        return
    if branch.reviewed.catalog is None:
        yield "the catalogue is not valid: no request can be judged, and what was granted stays"
    if not branch.head.protected:
        yield f"the branch is not protected: whoever can push to it, can grant access ({branch.head.commit})"


async def unsettled_teams(app: App, now: datetime) -> frozenset[str] | None:
    """The teams that are not, or not yet, as the branch says, of which that is unknown, that the guard holds,
    or that have no valid request; by lists, as a sweep compares. None without a branch or a valid catalogue.
    """
    head = await app.repository.head()
    if head is None:
        return None
    branch, snapshot = await observe(app, head, now)
    if branch.reviewed.catalog is None:
        return None
    held = (each.team for each in branch.judged.held)
    asked = {app.paths.requests.team_of(path) or "" for path in requests_of(branch.tree, app.paths.requests)}
    refused = asked - {request.team for request in branch.reviewed.requests.values()}
    differ = (finding.team for finding in _compare(app, branch, snapshot, now))
    unknown = (team for team, found in branch.teams.items() if snapshot.unknown(team, asks=_asks(found)))
    return frozenset(
        (*differ, *held, *refused, *unknown, *_without_models(app.platform.repository, snapshot))
    )


def _asks(found: TeamState) -> bool:
    return found.request is not None and found.request.has_own_models


async def observe(app: App, head: Head | None, now: datetime) -> tuple[Branch, Snapshot]:
    """Read the branch, and list all that exists."""
    (tree, unlisted), products = await asyncio.gather(_tree(app, head), app.gateway.products())
    snapshot, files = await asyncio.gather(list_all(app, products), _files(app, head, tree))
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    # A sweep does not know what the catalogue said before: a fault in it is taken to have stood there.
    catalog = catalog_in(files, app.paths.catalog, platform_check(app.platform))
    baseline = Baseline(in_force, today=now.date(), catalog=catalog)
    reviewed = await evaluate(app, files, baseline, KnownObjects(products, snapshot.workspaces))
    uses_gpus = _uses_gpus(reviewed.catalog, snapshot)
    platform = await platform_of(app) if uses_gpus else app.platform
    branch = BranchFiles(tree, files, reviewed, app.paths.requests)
    existing, teams = _existing(app, snapshot)
    if head is None or not tree:
        found = states(branch, existing, teams, now.date())
        return Branch(head, tree, files, reviewed, found, MissingTeams(), platform, unlisted), snapshot
    asked = await evaluate_teams(app, branch, existing, teams, head, now.date())
    return Branch(head, tree, files, asked.reviewed, asked.teams, asked.missing_teams, platform), snapshot


def _existing(app: App, snapshot: Snapshot) -> tuple[Existing, frozenset[str]]:
    """The products with the teams whose access works, and all teams that have objects or roles of ours."""
    repository = app.platform.repository
    teams = owned_teams.teams_with_objects(repository, snapshot) | owned_teams.teams_with_roles(snapshot)
    in_use = frozenset(team for team in teams if owned_teams.is_in_use(team, repository, snapshot))
    return Existing(repository, snapshot.products, in_use), teams


async def _files(app: App, head: Head | None, tree: Tree) -> Mapping[str, File]:
    return {} if head is None else await files_of(app, head.commit, tree)


async def _tree(app: App, head: Head | None) -> tuple[Tree, Rejected | None]:
    """The branch's files, or why they cannot be listed: then nothing is known, as without a branch."""
    try:
        return ({} if head is None else await tree_of(app.repository, head)), None
    except Rejected as error:
        return {}, error


def _idle_stages(
    branch: Branch, snapshot: Snapshot, changes: Iterable[AccessChange]
) -> dict[str, frozenset[str]]:
    """By team, the stages that have nothing to do for it."""
    return {change.team: idle_stages(branch.teams.get(change.team), snapshot) for change in changes}


async def _queue(
    app: App,
    event: Event[Sweep],
    changes: Sequence[AccessChange],
    idle: Mapping[str, frozenset[str]],
    curable: Curable,
) -> int:
    """Queue the changes, except for stages that have nothing of the team (`idle`), or where the same change
    waits as a dead letter. A sweep to which a push was left looks for no letters. Returns the number of
    messages.
    """
    trouble: set[Trouble] = set()
    if changes and not event.message.verdict:
        trouble = {
            letter.trouble
            async for letter in letters(app)
            if letter.stands(event.now) and not curable.goes_on_beside(letter)
        }
    messages = [
        message for change in changes for message in _messages(app, event, change, trouble, idle[change.team])
    ]
    await app.bus.send(messages)
    return len(messages)


@dataclass(frozen=True, slots=True)
class Curable:
    """The teams whose namespaces can be written although there is a dead letter: a letter about an object of
    others keeps nothing else from being `repaired`, one about a lost label nothing where the label is back.
    """

    repaired: Container[str]
    labelled: Container[str]

    def goes_on_beside(self, letter: Letter) -> bool:
        if letter.stage != PROVISION_WORKSPACES.name:
            return False
        if letter.reason == LabelLost.reason:
            return letter.team in self.labelled
        return letter.reason == NotManaged.reason and letter.team in self.repaired


def _messages(
    app: App,
    event: Event[Sweep],
    change: AccessChange,
    trouble: Container[Trouble],
    idle: frozenset[str],
) -> list[OutgoingMessage]:
    """One message to all stages; where some of them have nothing to do, or a dead letter about the change,
    one to each of the others that has work for the team. A change "held" concerns the product only.
    """
    if change.change == "held":
        return [access_change(app, change, event.correlation_id, event.now, PROVISION_GATEWAY)]
    blocked = idle | {
        QUEUED_BY.get(stage.name, stage.name)
        for stage in (*OF_CATALOG, *OF_TEAM, DELIVER_KEYS)
        if (change.team, change.revision, stage.name) in trouble
    }
    if not blocked:
        return [access_change(app, change, event.correlation_id, event.now)]
    stages = OF_CATALOG if change.team == CATALOG_TEAM else OF_TEAM
    return [
        access_change(app, change, event.correlation_id, event.now, stage)
        for stage in stages
        if stage.name not in blocked
    ]


def _without_models(repository: int, snapshot: Snapshot) -> Iterator[str]:
    """Teams whose workspaces exist and do not serve yet, or no more, or are not reached: no sweep can mend
    that.
    """
    namespaces = known(snapshot.namespaces, {})
    for name, found in known(snapshot.workspaces, {}).items():
        marker = namespaces[name].marker if name in namespaces else None
        if marker is None or marker.repository != repository or name != names.namespace(marker.team):
            continue
        routes = known(snapshot.routes, {}).get(name, ())
        if not all(each.verdict.is_ready for each in found) or any(map(fails, routes)):
            yield marker.team


async def _host(app: App, snapshot: Snapshot) -> str | None:
    """The host that a route may name beside others that name none. Where all name it nothing is read; where
    the Gateway cannot be read no sweep fails.
    """
    routes = (each for found in known(snapshot.routes, {}).values() for each in found)
    if app.cluster is None or not any(each.managed and names_no_host(each.spec) for each in routes):
        return None
    try:
        return await host_beside_others(app)
    except MergekeyError as error:
        telemetry.not_looked_at("the listeners of the Gateway", str(error))
        return None


def _upgrades(branch: Branch, snapshot: Snapshot, host: str | None) -> Iterator[Difference]:
    """The routes and network policies of earlier versions whose turn it is, and those that are on their way,
    of teams with access: a message that was lost is made good.
    """
    for home, name in sorted(upgrades_due(snapshot, branch.platform, host)):
        team = CATALOG_TEAM if home == names.namespace(CATALOG_TEAM) else names.team_named_in(home) or ""
        found = branch.teams.get(team)
        is_granted = team == CATALOG_TEAM if found is None else found.action.startswith("grant")
        if is_granted and branch.reviewed.catalog is not None:
            yield Difference(team, Pending("route", name, "RouteNotProven", note="it has an earlier form"))


def times_of(app: App, now: datetime) -> Times:
    limits = app.timeouts
    return Times(now, limits.grace, limits.workspace_grace, limits.key_overlap)


def _compare(
    app: App, branch: Branch, snapshot: Snapshot, now: datetime, deep: DeepSnapshot = NOTHING_READ
) -> Iterator[Difference]:
    """The differences that lists show, and what was read besides. A team that cannot be compared keeps no
    other from it.
    """
    catalog, times = branch.reviewed.catalog, times_of(app, now)
    if catalog is not None:
        plans = plans_for_catalog(catalog, branch.platform, snapshot, deep.shared)
        yield from differences(CATALOG_TEAM, plans)
    for team, found in branch.teams.items():
        try:
            actual = deep.teams.get(team) or snapshot.team(team)
            yield from list(differences(team, plans_of(app, branch, found, actual, times).values()))
        except MergekeyError as error:
            telemetry.not_compared(team, error)


def plans_of(app: App, branch: Branch, found: TeamState, actual: ActualTeam, times: Times) -> Plans:
    """The plans for one team, by its cell of the table of states."""
    held, repository = branch.judged.holds(found.team), app.platform.repository
    match found.action:
        case "grant" | "grant?":
            if found.request is None or branch.reviewed.catalog is None or held:
                return {}
            wanted = DesiredTeam(found.request, found.path)
            return plans_to_grant(wanted, branch.reviewed.catalog, branch.platform, actual, times)
        case "end?" if held:
            return plans_to_hold(found.team, repository, actual, times)
        case "freeze":
            return plans_to_withdraw(found.team, repository, actual, times, in_doubt=True)
        case "end?" | "end" | "rest":
            return plans_to_withdraw(found.team, repository, actual, times, in_doubt=False)
        case _:
            return {}


def _changes(app: App, branch: Branch, findings: Iterable[Difference]) -> Iterator[AccessChange]:
    """One change per team, whatever the number of its findings, which are all logged."""
    teams: set[str] = set()
    for finding in findings:
        telemetry.found(finding.team, finding.message)
        if finding.team not in teams:
            teams.add(finding.team)
            try:
                yield _change(app, branch, finding.team).model_copy(update={"cause": "sweep"})
            except ValidationError:
                telemetry.not_queued(finding.team)


def _is_no_request(branch: Branch, found: TeamState) -> bool:
    """Whether what lies at the team's path is no request. Without a valid catalogue that counts where the
    access is over by its day: while other teams' requests alone spoil the catalogue, the team's stages, which
    read its own files, find it valid, and a message about a request would concern nothing.
    """
    if found.files in ("gone", "no_request"):
        return True
    return found.action == "freeze" and branch.reviewed.teams_by_path.get(found.path) != found.team


def _change(app: App, branch: Branch, team: str) -> AccessChange:
    """Raises ValidationError for a path or a team that does not fit into a message."""
    if team == CATALOG_TEAM:
        assert branch.head is not None
        return catalog_change(app, branch.tree, branch.head, branch.files)
    found, entry = branch.teams[team], branch.tree.get(branch.teams[team].path)
    commit, granted = _commits(branch, found)
    if found.action.endswith("?") and branch.judged.holds(team):
        return AccessChange(change="held", team=team, path=found.path, commit=commit)
    if entry is None or _is_no_request(branch, found):
        return AccessChange(change="withdrawn", team=team, path=found.path, commit=commit, granted=granted)
    if found.request is not None and branch.head is not None and found.action.startswith("grant"):
        return change_of(team, found.path, branch.head, entry.blob, branch.files[found.path])
    return AccessChange(change="requested", team=team, path=found.path, commit=commit, blob=entry.blob)


def _commits(branch: Branch, found: TeamState) -> tuple[str, str]:
    """The head of the branch, or a commit in its place where there is none, and the commit from which the
    team's access was granted.
    """
    granted = found.marker.commit if found.marker is not None else ""
    return (branch.head.commit if branch.head is not None else granted or NOWHERE), granted
