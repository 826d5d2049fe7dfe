"""What a team and the platform can ask: what the branch says and what is there, looked at when it is asked.
Nothing here writes.

A team is read by itself; lists are for whoever wants to see several. Whom the answer is for decides the
caller, by `Audience`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared import names
from shared.api.answers import group_of, model_list, provider_list, team_record
from shared.api.records import ModelList, ProviderList, TeamList, TeamRecord
from shared.api.team_view import Said, View
from shared.app import App
from shared.branch.account import Seen
from shared.branch.decision import catalog_of, tree_of
from shared.branch.endings import judged_by_products
from shared.branch.evaluation import evaluate, read_files
from shared.branch.last_days import slips
from shared.branch.missing_teams import find_missing, markers_of
from shared.branch.review import Baseline, Review
from shared.branch.states import Access, TeamState
from shared.branch.team_states import BranchFiles, Existing, ending, state
from shared.branch.tree_diff import request_paths_of
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem
from shared.errors import Unavailable
from shared.git import Tree
from shared.inventory import orphans
from shared.inventory.dead_letters import letters
from shared.inventory.snapshot import Part, Snapshot, Times
from shared.inventory.team_snapshot import TeamSnapshot, read_team
from shared.messaging.dead_letters import Letter
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_PROJECTS, PROVISION_WORKSPACES
from shared.ports import Head
from shared.resources.actual import Route, Workspace
from shared.stages.sweep import Branch, observe

_PARTS: Mapping[str, Part] = {
    PROVISION_GATEWAY.name: "Gateway",
    DELIVER_KEYS.name: "Keys",
    PROVISION_WORKSPACES.name: "Workspaces",
    PROVISION_PROJECTS.name: "Projects",
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who will read the answer: members of these groups, or, with None, whoever may see all."""

    groups: frozenset[str] | None

    @property
    def is_nobody(self) -> bool:
        return self.groups == frozenset()

    def sees(self, group: str | None) -> bool:
        return self.groups is None or group in self.groups


async def teams(app: App, audience: Audience) -> TeamList:
    """Every team that has a request or objects, by lists."""
    if audience.is_nobody:
        return TeamList(())
    head = await _head(app)
    (branch, world), about = await asyncio.gather(observe(app, head, app.clock.now()), _letters(app))
    times = _times(app)
    views = (
        View(said, world, branch.reviewed.catalog, times, _of(about, said))
        for said in _everybody(app, branch)
    )
    records = (
        team_record(view, app.platform, head.commit)
        for view in views
        if audience.sees(group_of(view, app.platform))
    )
    return TeamList(tuple(sorted(records, key=lambda record: record.team)))


async def team(app: App, name: str, audience: Audience) -> TeamRecord | None:
    """One team, or None when there is none or it is none of the audience's business."""
    if names.team_problem(name) is not None or audience.is_nobody:
        return None
    head = await _head(app)
    at = _At(head, await tree_of(app.repository, head), app.clock.now().date())
    branch = await _own_files(app, name, at)
    request = next(iter(branch.reviewed.requests.values()), None)
    if request is not None and not audience.sees(request.entra_group):
        return None
    seen, about = await asyncio.gather(read_team(app, name, request), _letters(app, name))
    said = await _said(app, name, branch, seen, at)
    view = View(said, seen.snapshot, branch.reviewed.catalog, _times(app), _of(about, said), seen.unread)
    if not audience.sees(group_of(view, app.platform)):
        seen.require("Keys")
        return None
    if not said.blob and name not in orphans.teams_with_objects(app.platform.repository, seen.snapshot):
        seen.require(*seen.unread)
        return None
    record = team_record(view, app.platform, head.commit)
    return await _second_look(app, view, record, at)


async def models(app: App, closely: bool) -> ModelList:
    """The catalogue of the branch, and what was granted of it. `closely`: to whom."""
    head = await _head(app)
    reviewed = await _whole_review(app, head, await tree_of(app.repository, head))
    return model_list(_valid(reviewed.catalog), reviewed, head.commit, closely)


async def providers(app: App) -> ProviderList:
    """The platform's side at the gateway, beside what the catalogue says."""
    (head, catalog), world = await asyncio.gather(_catalog(app), _platform_side(app))
    return provider_list(catalog, app.platform, world, head.commit)


async def _platform_side(app: App) -> Snapshot:
    """What the catalogue provisions, and nothing of any team."""
    home, cluster = names.namespace(names.CATALOG_TEAM), app.cluster
    in_cluster = (
        _nothing()
        if cluster is None
        else asyncio.gather(cluster.namespace(home), cluster.workspaces(home), cluster.routes(home))
    )
    api, backends, values, (namespace, workspaces, routes) = await asyncio.gather(
        app.gateway.api(names.API),
        app.gateway.backends(names.SHARED_PREFIX),
        app.gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
        in_cluster,
    )
    return Snapshot(
        api=api,
        products={},
        linked=frozenset(),
        subscriptions={},
        backends={found.name: found for found in backends},
        secret_urls={value.name: value.url for value in values if value.ours},
        secrets={},
        readers={},
        namespaces={home: namespace} if namespace else {},
        workspaces={home: tuple(workspaces)},
        routes={home: tuple(route for route in routes if route.managed)},
        nodes=(),
    )


async def _nothing() -> tuple[None, list[Workspace], list[Route]]:
    return None, [], []


async def _head(app: App) -> Head:
    head = await app.repository.head()
    if head is None:
        raise Unavailable("the branch of requests is not there", reason="NoBranch")
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


def _times(app: App) -> Times:
    return Times(app.clock.now(), app.timeouts.grace, app.timeouts.workspace_grace, app.timeouts.key_overlap)


async def _whole_review(app: App, head: Head, tree: Tree) -> Review:
    """All files, with what they say together."""
    products, contents = await asyncio.gather(app.gateway.products(), app.repository.archive(head.commit))
    files = await read_files(app, tree, tree, contents)
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    return await evaluate(app, files, Baseline(in_force, today=app.clock.now().date()), Seen(products))


# One team


@dataclass(frozen=True, slots=True)
class _At:
    """The branch when it was looked at."""

    head: Head
    tree: Tree
    today: date


async def _own_files(app: App, name: str, at: _At) -> BranchFiles:
    """The team's own files and the catalogue, reviewed by themselves."""
    paths = request_paths_of(at.tree, name, app.paths.requests)
    product = await app.gateway.product(names.product(name)) if len(paths) > 1 else None
    files = await read_files(app, {*paths, app.paths.catalog} & at.tree.keys(), at.tree)
    held = frozenset([product.marker.path]) if product and product.marker else frozenset[str]()
    past = Baseline(held, today=at.today)
    # What is in force elsewhere, the review of all files says, where it matters.
    reviewed = await evaluate(app, files, past, Seen((), {}))
    if any(problem.reason == "UnknownModel" for problem in reviewed.problems):
        product = product or await app.gateway.product(names.product(name))
        reviewed = await evaluate(app, files, past, Seen([product] if product else [], {}))
    return BranchFiles(at.tree, files, reviewed, app.paths.requests)


async def _said(app: App, name: str, branch: BranchFiles, seen: TeamSnapshot, at: _At) -> Said:
    """The team's state. Where the guard decides, the products of all teams, or their files, are read."""
    works = orphans.is_in_use(name, app.platform.repository, seen.snapshot)
    existing = Existing(app.platform.repository, seen.snapshot.products, frozenset({name} if works else ()))
    found = state(branch, existing, name, request_paths_of(at.tree, name, app.paths.requests), at.today)
    wrong = await slips(app, [found], branch.reviewed, at.head)
    found = replace(found, files="invalid", request=None) if wrong else found
    if not found.is_guarded:
        return _told(app, found, branch, wrong, held=False)
    if found.files == "gone":
        this = ending(found, at.today)
        held = await find_missing(app, await app.gateway.products(), at.tree, at.head, [this] if this else [])
        return _told(app, found, branch, (), held=held.holds(name))
    judged = await judged_by_products(app, at.tree, at.head, at.today, frozenset({name} if works else ()))
    problems = [
        problem
        for problem in judged.reviewed.problems
        if problem.reason == "EndsHeld" and problem.path == found.path
    ]
    return _told(app, found, branch, problems, held=judged.absence.holds(name))


def _told(app: App, found: TeamState, branch: BranchFiles, more: Iterable[Problem], *, held: bool) -> Said:
    paths = {*request_paths_of(branch.tree, found.team, branch.paths)} | (
        {app.paths.catalog} if found.files == "no_catalogue" else set()
    )
    problems = tuple(
        sorted({*(problem for problem in branch.reviewed.problems if problem.path in paths), *more})
    )
    blob = branch.tree[found.path].blob if found.path in branch.tree else ""
    return Said(found.team, found.files, found.access(held=held), found.path, blob, found.request, problems)


async def _second_look(app: App, view: View, record: TeamRecord, at: _At) -> TeamRecord:
    """A request may be valid by itself and refused for what all files say together. Only where it is not in
    force that matters.
    """
    waiting = {"InProgress"} & {condition.reason for condition in record.conditions}
    if view.said.access != "granted" or not waiting:
        return record
    whole = await _whole_review(app, at.head, at.tree)
    if view.said.path in whole.requests:
        return record
    problems = tuple(problem for problem in whole.problems if problem.path == view.said.path)
    kept: Access = "kept" if names.product(view.said.team) in view.world.products else "none"
    said = replace(view.said, files="invalid", access=kept, request=None, problems=problems)
    return team_record(replace(view, said=said), app.platform, at.head.commit)


# Every team


def _everybody(app: App, branch: Branch) -> Iterator[Said]:
    files = BranchFiles(branch.tree, branch.files, branch.reviewed, app.paths.requests)
    for found in branch.teams.values():
        yield _told(app, found, files, (), held=branch.judged.holds(found.team))


# Dead letters


async def _letters(app: App, name: str | None = None) -> list[Letter]:
    return [letter async for letter in _about_parts(app) if name in (None, letter.team)]


async def _about_parts(app: App) -> AsyncIterator[Letter]:
    async for letter in letters(app):
        if letter.stage in _PARTS:
            yield letter


def _of(found: Iterable[Letter], said: Said) -> dict[Part, Letter]:
    """The newest for each part, about what the branch says now."""
    return {
        _PARTS[letter.stage]: letter
        for letter in found
        if (letter.team, letter.blob) == (said.team, said.blob)
    }
