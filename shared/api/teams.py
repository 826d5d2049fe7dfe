"""The queries of teams and platform engineers. The branch and the remote systems are read at the time of the
call; nothing is written.

One team is read by itself, several teams by lists. The caller decides by `Audience` who will read the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from shared import names
from shared.api.answers import model_list, provider_list, reading_group, team_record
from shared.api.records import ModelList, ProviderList, TeamList, TeamRecord
from shared.api.team_view import KEPT, TeamOnBranch, TeamView
from shared.app import App
from shared.branch.account import KnownObjects
from shared.branch.decision import catalog_of, tree_of
from shared.branch.endings import evaluate_teams_by_products
from shared.branch.evaluation import evaluate, files_of, read_files
from shared.branch.in_force import catalog_at, requests_in_force
from shared.branch.last_days import late_last_days
from shared.branch.missing_teams import find_missing, markers_of
from shared.branch.repository_state import request_paths_of
from shared.branch.review import Baseline, File, Review
from shared.branch.states import Access, StandingRequest, TeamState
from shared.branch.team_states import BranchFiles, Existing, missing_team_of, state, trusted_marker
from shared.catalog.catalog import Catalog
from shared.cluster_ports import Cluster
from shared.documents.problem import Problem
from shared.errors import KindNotServed, Unavailable
from shared.git import Tree
from shared.inventory import owned_teams
from shared.inventory.dead_letters import letters
from shared.inventory.list_all import errors_of, if_served, or_unread
from shared.inventory.snapshot import Part, Snapshot
from shared.inventory.team_snapshot import TeamSnapshot, read_team
from shared.messaging.dead_letters import Letter
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_PROJECTS, PROVISION_WORKSPACES
from shared.ports import Head
from shared.resources.actual import Limit, Namespace, Product, Route, Workspace
from shared.resources.plan import UNREAD, Unread
from shared.stages.comparison import Branch, observe, times_of
from shared.stages.gateway_controller import platform_of
from shared.stages.open_ways import seen_open_ways

_PARTS: Mapping[str, Part] = {
    PROVISION_GATEWAY.name: "Gateway",
    DELIVER_KEYS.name: "Keys",
    PROVISION_WORKSPACES.name: "Workspaces",
    PROVISION_PROJECTS.name: "Projects",
}


@dataclass(frozen=True, slots=True)
class Audience:
    """The readers of the answer: members of these groups; with None, readers who may see all teams."""

    groups: frozenset[str] | None

    @property
    def is_nobody(self) -> bool:
        return self.groups == frozenset()

    def sees(self, group: str | None) -> bool:
        return self.groups is None or group in self.groups


async def teams(app: App, audience: Audience) -> TeamList:
    """The teams that have a request or objects, read by lists."""
    if audience.is_nobody:
        return TeamList(())
    head = await _head(app)
    (branch, snapshot), found_letters = await asyncio.gather(
        observe(app, head, app.clock.now()), _letters(app)
    )
    times = times_of(app, app.clock.now())
    all_teams = list(_all_teams(app, branch))
    kept = await _kept_requests(app, all_teams, snapshot.products, branch.files, branch.reviewed.catalog)
    views = (
        TeamView(
            team,
            snapshot.team(team.team),
            branch.reviewed.catalog,
            times,
            _letters_by_part(found_letters, team),
            _unknown_parts(snapshot, team),
            kept.get(team.team),
        )
        for team in all_teams
    )
    records = (
        team_record(view, branch.platform, head.commit)
        for view in views
        if audience.sees(reading_group(view, app.platform))
    )
    return TeamList(tuple(sorted(records, key=lambda record: record.team)))


async def team(app: App, name: str, audience: Audience) -> TeamRecord | None:
    """One team; None if it does not exist or the audience may not see it."""
    if names.team_problem(name) is not None or audience.is_nobody:
        return None
    head = await _head(app)
    at = _Lookup(head, await tree_of(app.repository, head), app.clock.now().date())
    branch = await _own_files(app, name, at)
    request = next(iter(branch.reviewed.requests.values()), None)
    if request is not None and not audience.sees(request.entra_group):
        return None
    seen, found_letters = await asyncio.gather(read_team(app, name, request), _letters(app, name))
    on_branch = await _on_branch(app, name, branch, seen, at)
    kept = await _kept_requests(
        app, [on_branch], seen.snapshot.products, branch.files, branch.reviewed.catalog
    )
    view = TeamView(
        on_branch,
        seen.snapshot.team(name),
        branch.reviewed.catalog,
        times_of(app, app.clock.now()),
        _letters_by_part(found_letters, on_branch),
        seen.unread,
        kept.get(name),
    )
    if not audience.sees(reading_group(view, app.platform)):
        seen.require("Keys")
        return None
    if not on_branch.blob and name not in owned_teams.teams_with_objects(
        app.platform.repository, seen.snapshot
    ):
        seen.require(*seen.unread)
        return None
    asks = request is not None and request.has_own_models
    record = team_record(view, await platform_of(app) if asks else app.platform, head.commit)
    return await _recheck_beside_all(app, view, record, at)


async def _kept_requests(
    app: App,
    found: Iterable[TeamOnBranch],
    products: Mapping[str, Product],
    files: Mapping[str, File],
    catalog: Catalog | None,
) -> dict[str, StandingRequest]:
    """By team, the request in force where the branch cannot be followed. Without a valid catalogue on the
    branch the one in force counts.
    """
    kept = [names.product(each.team) for each in found if each.access in KEPT]
    ours = (products[name].marker for name in kept if name in products)
    markers = [each for marker in ours if (each := trusted_marker(marker, app.paths.requests)) is not None]
    if not markers:
        return {}
    return await requests_in_force(app, markers, files, catalog or await _catalog_in_force(app))


async def _catalog_in_force(app: App) -> Catalog | None:
    api = await app.gateway.api(names.API)
    marker = None if api is None else api.marker
    return None if marker is None or not marker.commit else await catalog_at(app, marker.commit)


def _unknown_parts(snapshot: Snapshot, found: TeamOnBranch) -> dict[Part, tuple[str, str]]:
    error = snapshot.unknown(found.team, asks=found.request is not None and found.request.has_own_models)
    return {} if error is None else {"Workspaces": (error.reason, error.message)}


async def models(app: App, with_shares: bool) -> ModelList:
    """The catalogue of the branch with its grants; `with_shares` adds those of each team."""
    head = await _head(app)
    reviewed = await _whole_review(app, head, await tree_of(app.repository, head))
    return model_list(_valid(reviewed.catalog), reviewed, head.commit, with_shares)


async def providers(app: App) -> ProviderList:
    """The platform's side of the gateway, compared with the catalogue."""
    (head, catalog), snapshot, ways, platform = await asyncio.gather(
        _catalog(app), _platform_side(app), seen_open_ways(app), platform_of(app)
    )
    listed = provider_list(catalog, platform, snapshot, head.commit)
    return replace(listed, differences=(*listed.differences, *(way.text for way in ways)))


async def _platform_side(app: App) -> Snapshot:
    """A snapshot of the objects that the catalogue provisions, without those of teams."""
    home = names.namespace(names.CATALOG_TEAM)
    api, backends, values, (namespace, workspaces, routes, limits) = await asyncio.gather(
        app.gateway.api(names.API),
        app.gateway.backends(names.SHARED_PREFIX),
        app.gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
        _in_namespace(app.cluster, home),
    )
    found = or_unread(namespace)
    return Snapshot(
        api=api,
        products={},
        linked=frozenset(),
        subscriptions={},
        backends={found.name: found for found in backends},
        named_values={value.name: value for value in values},
        secrets={},
        readers={},
        namespaces=UNREAD if isinstance(found, Unread) else {home: found} if found else {},
        workspaces=UNREAD if isinstance(workspaces, KindNotServed) else {home: tuple(workspaces)},
        routes=UNREAD if isinstance(routes, KindNotServed) else {home: tuple(routes)},
        nodes=(),
        limits=UNREAD if isinstance(limits, KindNotServed) else {home: tuple(limits)},
        not_served=errors_of(namespace, workspaces, routes, limits),
    )


async def _in_namespace(
    cluster: Cluster | None, home: str
) -> tuple[
    Namespace | KindNotServed | None,
    Sequence[Workspace] | KindNotServed,
    Sequence[Route] | KindNotServed,
    Sequence[Limit] | KindNotServed,
]:
    """What there is in a namespace, as far as the cluster serves it."""
    if cluster is None:
        return None, (), (), ()
    return await asyncio.gather(
        if_served(cluster.namespace, home),
        if_served(cluster.workspaces, home),
        if_served(cluster.routes, home),
        if_served(cluster.limits, home),
    )


async def _head(app: App) -> Head:
    head = await app.repository.head()
    if head is None:
        raise Unavailable("the branch of requests does not exist", reason="NoBranch")
    return head


async def _catalog(app: App) -> tuple[Head, Catalog]:
    head = await _head(app)
    return head, _valid((await catalog_of(app, await tree_of(app.repository, head))).catalog)


def _valid(catalog: Catalog | None) -> Catalog:
    if catalog is None:
        raise Unavailable(
            "the catalogue on the branch is not valid; the last valid one is in force",
            reason="CatalogueInvalid",
        )
    return catalog


async def _whole_review(app: App, head: Head, tree: Tree) -> Review:
    """The review of all files, evaluated together."""
    products, files = await asyncio.gather(app.gateway.products(), files_of(app, head.commit, tree))
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    return await evaluate(
        app, files, Baseline(in_force, today=app.clock.now().date()), KnownObjects(products)
    )


# One team


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The branch at the time of the call."""

    head: Head
    tree: Tree
    today: date


async def _own_files(app: App, name: str, at: _Lookup) -> BranchFiles:
    """The team's own files and the catalogue, reviewed without the other requests."""
    paths = request_paths_of(at.tree, name, app.paths.requests)
    product = await app.gateway.product(names.product(name)) if len(paths) > 1 else None
    files = await read_files(app, {*paths, app.paths.catalog} & at.tree.keys(), at.tree)
    known_paths = frozenset([product.marker.path]) if product and product.marker else frozenset[str]()
    baseline = Baseline(known_paths, today=at.today)
    # The grants of other teams are compared by the review of all files, where they matter.
    reviewed = await evaluate(app, files, baseline, KnownObjects((), {}))
    if any(problem.reason == "UnknownModel" for problem in reviewed.problems):
        product = product or await app.gateway.product(names.product(name))
        reviewed = await evaluate(app, files, baseline, KnownObjects([product] if product else [], {}))
    return BranchFiles(at.tree, files, reviewed, app.paths.requests)


async def _on_branch(
    app: App, name: str, branch: BranchFiles, seen: TeamSnapshot, at: _Lookup
) -> TeamOnBranch:
    """The team's state on the branch. If the guard decides, the products of all teams, or also their files,
    are read.
    """
    in_use = owned_teams.is_in_use(name, app.platform.repository, seen.snapshot)
    existing = Existing(app.platform.repository, seen.snapshot.products, frozenset({name} if in_use else ()))
    found = state(branch, existing, name, request_paths_of(at.tree, name, app.paths.requests), at.today)
    wrong = await late_last_days(app, [found], branch.reviewed, at.head)
    found = replace(found, files="invalid", request=None) if wrong else found
    if not found.is_guarded:
        return _team_on_branch(app, found, branch, wrong, held=False)
    if found.files == "gone":
        this = missing_team_of(found, at.today)
        held = await find_missing(app, await app.gateway.products(), at.tree, at.head, [this] if this else [])
        return _team_on_branch(app, found, branch, (), held=held.holds(name))
    evaluated = await evaluate_teams_by_products(
        app,
        at.tree,
        at.head,
        at.today,
        await app.gateway.products(),
        frozenset({name} if in_use else ()),
    )
    problems = [
        problem
        for problem in evaluated.reviewed.problems
        if problem.reason == "EndsHeld" and problem.path == found.path
    ]
    return _team_on_branch(app, found, branch, problems, held=evaluated.missing_teams.holds(name))


def _team_on_branch(
    app: App, found: TeamState, branch: BranchFiles, more: Iterable[Problem], *, held: bool
) -> TeamOnBranch:
    paths = {*request_paths_of(branch.tree, found.team, branch.paths)} | (
        {app.paths.catalog} if found.files == "no_catalogue" else set()
    )
    problems = tuple(sorted({*(each for each in branch.reviewed.problems if _is_shown(each, paths)), *more}))
    blob = branch.tree[found.path].blob if found.path in branch.tree else ""
    return TeamOnBranch(
        found.team, found.files, found.access(held=held), found.path, blob, found.request, problems
    )


def _is_shown(problem: Problem, paths: Container[str]) -> bool:
    """The record says itself what its workspaces cost."""
    return problem.path in paths and problem.level != "notice"


async def _recheck_beside_all(app: App, view: TeamView, record: TeamRecord, at: _Lookup) -> TeamRecord:
    """The record after the review of all files, by which a request that is valid by itself may be refused.
    The review is needed only while a part is in progress.
    """
    waiting = {"InProgress"} & {condition.reason for condition in record.conditions}
    if view.on_branch.access != "granted" or not waiting:
        return record
    whole = await _whole_review(app, at.head, at.tree)
    if view.on_branch.path in whole.requests:
        return record
    problems = tuple(problem for problem in whole.problems if problem.path == view.on_branch.path)
    kept: Access = "kept" if view.product is not None else "none"
    on_branch = replace(view.on_branch, files="invalid", access=kept, request=None, problems=problems)
    products = {} if view.product is None else {view.product.name: view.product}
    in_force = await _kept_requests(app, [on_branch], products, {}, whole.catalog)
    view = replace(view, on_branch=on_branch, in_force=in_force.get(view.on_branch.team))
    return team_record(view, app.platform, at.head.commit)


# Every team


def _all_teams(app: App, branch: Branch) -> Iterator[TeamOnBranch]:
    files = BranchFiles(branch.tree, branch.files, branch.reviewed, app.paths.requests)
    for found in branch.teams.values():
        yield _team_on_branch(app, found, files, (), held=branch.judged.holds(found.team))


# Dead letters


async def _letters(app: App, name: str | None = None) -> list[Letter]:
    return [letter async for letter in _about_parts(app) if name in (None, letter.team)]


async def _about_parts(app: App) -> AsyncIterator[Letter]:
    async for letter in letters(app):
        if letter.stage in _PARTS:
            yield letter


def _letters_by_part(found: Iterable[Letter], on_branch: TeamOnBranch) -> dict[Part, Letter]:
    """The newest letter for each part, about the file that is on the branch now."""
    return {
        _PARTS[letter.stage]: letter
        for letter in found
        if (letter.team, letter.blob) == (on_branch.team, on_branch.blob)
    }
