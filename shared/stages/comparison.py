"""The comparison of the branch with Azure and the cluster: sweeps act by it, and answers render it. Nothing
is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared import names, telemetry
from shared.app import App
from shared.branch.account import KnownObjects
from shared.branch.decision import tree_of
from shared.branch.endings import evaluate_teams
from shared.branch.evaluation import evaluate, files_of
from shared.branch.missing_teams import markers_of
from shared.branch.platform_checks import platform_check
from shared.branch.repository_state import requests_of
from shared.branch.review import Baseline, File, Review, catalog_in
from shared.branch.states import TeamState
from shared.branch.team_states import BranchFiles, Existing, states
from shared.branch.withdrawal_guard import MissingTeams
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem
from shared.errors import MergekeyError, Rejected
from shared.git import Tree
from shared.inventory import owned_teams
from shared.inventory.controller_findings import controller_findings
from shared.inventory.differences import (
    Difference,
    Plans,
    differences,
    plans_for_catalog,
    plans_to_grant,
    plans_to_hold,
    plans_to_withdraw,
)
from shared.inventory.list_all import list_all
from shared.inventory.namespaces import namespace_findings
from shared.inventory.road_findings import road_findings, upgrades_due
from shared.inventory.snapshot import ActualTeam, DesiredTeam, Snapshot, Times
from shared.inventory.unmanaged import unmanaged
from shared.names import CATALOG_TEAM
from shared.ports import Head
from shared.resources.desired import Platform
from shared.resources.plan import Pending, known
from shared.resources.route_upgrade import fails
from shared.resources.routes import names_no_host
from shared.stages.deep_sweep import NOTHING_READ, DeepSnapshot
from shared.stages.gateway_controller import platform_of
from shared.stages.kaito_release import release_notes
from shared.stages.open_ways import seen_open_ways, way_problems
from shared.stages.workspace_roads import host_beside_others


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


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between the branch and the existing objects, and texts for what a person must look at
    (`others`). `notes` are the warnings about the cluster, at the catalogue.
    """

    branch: Branch
    snapshot: Snapshot
    notes: tuple[Problem, ...]
    differences: tuple[Difference, ...]
    others: tuple[str, ...]

    def of(self, team: str) -> Comparison:
        """The part of one team, or all with an empty name. Texts about the platform belong to no team."""
        if not team:
            return self
        found = tuple(each for each in self.differences if each.team == team)
        return replace(self, differences=found, others=())


async def compare(
    app: App,
    branch: Branch,
    snapshot: Snapshot,
    now: datetime,
    *,
    notes: tuple[Problem, ...],
    deep: DeepSnapshot = NOTHING_READ,
) -> Comparison:
    """The comparison by what the lists show, and what was read besides. Only what could not be compared is
    logged.
    """
    host = await _host(app, snapshot)
    found = (*_compare(app, branch, snapshot, now, deep), *_upgrades(branch, snapshot, host))
    others = (
        *_unmanaged(app, branch, snapshot, now),
        *road_findings(snapshot, deep.roads),
        *controller_findings(snapshot, branch.platform, host),
        *(note.message for note in notes),
    )
    return Comparison(branch, snapshot, notes, found, others)


async def platform_notes(app: App, branch: Branch, snapshot: Snapshot) -> tuple[Problem, ...]:
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
