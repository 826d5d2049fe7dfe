"""What a team and the platform can ask: what the branch says and what is there, looked at when it is asked. Nothing here writes.

A team is read by itself; lists are for whoever wants to see several. Whom the answer is for decides the caller, by `Audience`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.absence import absence, markers_of
from shared.app import App
from shared.domain import leftovers, names
from shared.domain.actual import Route, Workspace
from shared.domain.answers import group_of, model_list, provider_list, team_record
from shared.domain.catalog import Catalog
from shared.domain.letters import Letter
from shared.domain.problem import Problem
from shared.domain.push import Tree, homes, requests_of
from shared.domain.record import ModelList, ProviderList, TeamList, TeamRecord
from shared.domain.review import Past, Review
from shared.domain.view import Said, View
from shared.domain.world import Part, Times, World
from shared.errors import Unavailable
from shared.letters import letters
from shared.ports import Head
from shared.sighting import Sighting, sight
from shared.stages import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_PROJECTS, PROVISION_WORKSPACES
from shared.standing import catalog_of, tree_of
from shared.sweeping import Branch, observe
from shared.verdict import judge, read_files

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
    views = (View(said, world, branch.reviewed.catalog, times, _of(about, said)) for said in _everybody(app, branch, world))
    records = (team_record(view, app.platform, head.commit) for view in views if audience.sees(group_of(view, app.platform)))
    return TeamList(tuple(sorted(records, key=lambda record: record.team)))


async def team(app: App, name: str, audience: Audience) -> TeamRecord | None:
    """One team, or None when there is none or it is none of the audience's business."""
    if names.team_fault(name) is not None or audience.is_nobody:
        return None
    head = await _head(app)
    tree = await tree_of(app.repository, head)
    said, catalog = await _said(app, name, tree)
    if said.request is not None and not audience.sees(said.request.entra_group):
        return None
    seen, about = await asyncio.gather(sight(app, name, said.request), _letters(app, name))
    said = await _judged(app, said, seen, head, tree)
    view = View(said, seen.world, catalog, _times(app), _of(about, said), seen.unread)
    if not audience.sees(group_of(view, app.platform)):
        seen.require("Keys")
        return None
    if not said.path and name not in leftovers.teams_with_objects(app.platform.repository, seen.world):
        seen.require(*seen.unread)
        return None
    record = team_record(view, app.platform, head.commit)
    return await _second_look(app, view, record, head, tree)


async def models(app: App, closely: bool) -> ModelList:
    """The catalogue of the branch, and what was granted of it. `closely`: to whom."""
    head = await _head(app)
    reviewed = await _whole_review(app, head, await tree_of(app.repository, head))
    return model_list(_valid(reviewed.catalog), reviewed.ledgers, head.commit, closely)


async def providers(app: App) -> ProviderList:
    """The platform's side at the gateway, beside what the catalogue says."""
    (head, catalog), world = await asyncio.gather(_catalog(app), _platform_side(app))
    return provider_list(catalog, app.platform, world, head.commit)


async def _platform_side(app: App) -> World:
    """What the catalogue provisions, and nothing of any team."""
    home, cluster = names.namespace(names.CATALOGUE_TEAM), app.cluster
    in_cluster = _nothing() if cluster is None else asyncio.gather(cluster.namespace(home), cluster.workspaces(home), cluster.routes(home))
    api, backends, values, (namespace, workspaces, routes) = await asyncio.gather(
        app.gateway.api(names.API),
        app.gateway.backends(names.SHARED_PREFIX),
        app.gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
        in_cluster,
    )
    return World(
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
        raise Unavailable("the catalogue on the branch is not valid; the last valid one is in force", reason="CatalogueInvalid")
    return catalog


def _times(app: App) -> Times:
    return Times(app.clock.now(), app.limits.grace, app.limits.workspace_grace, app.limits.key_overlap)


async def _whole_review(app: App, head: Head, tree: Tree) -> Review:
    """All files, with what they say together."""
    products, contents = await asyncio.gather(app.gateway.products(), app.repository.archive(head.commit))
    files = await read_files(app, tree, tree, contents)
    in_force = frozenset(marker.path for marker in markers_of(app, products))
    return await judge(app, files, Past(in_force, today=app.clock.now().date()), products)


# One team


async def _said(app: App, name: str, tree: Tree) -> tuple[Said, Catalog | None]:
    """By the team's own files and the catalogue."""
    paths = homes(tree, name, app.places.requests)
    product = await app.gateway.product(names.product(name)) if len(paths) > 1 else None
    files = await read_files(app, {*paths, app.places.catalog} & tree.keys(), tree)
    held = frozenset([product.marker.path]) if product and product.marker else frozenset[str]()
    reviewed = await judge(app, files, Past(held, today=app.clock.now().date()))
    return _of_files(app, name, paths, reviewed, tree), reviewed.catalog


def _of_files(app: App, name: str, paths: tuple[str, ...], reviewed: Review, tree: Tree) -> Said:
    """What the branch says of a team with these files; whether a team without any may go, is for others to say."""
    problems = tuple(problem for problem in reviewed.problems if problem.path in paths)
    if reviewed.catalog is None:
        path = next(iter(paths), "")
        return Said(name, "unjudged", path, tree[path].blob if path else "", problems=_about_catalog(app, reviewed) + problems)
    if not paths:
        return Said(name, "gone")
    path = next((path for path in paths if path in reviewed.requests), paths[0])
    request = reviewed.requests.get(path)
    if request is None:
        return Said(name, "refused", path, tree[path].blob, problems=problems)
    over = request.expires is not None and request.expires < app.clock.now().date()
    return Said(name, "expired" if over else "granted", path, tree[path].blob, request, problems)


def _about_catalog(app: App, reviewed: Review) -> tuple[Problem, ...]:
    return tuple(problem for problem in reviewed.problems if problem.path == app.places.catalog)


async def _judged(app: App, said: Said, seen: Sighting, head: Head, tree: Tree) -> Said:
    """A team without a file is gone, or held by the guard, which looks at all teams. Who was withdrawn before has passed it."""
    product = seen.world.products.get(names.product(said.team))
    if said.verdict != "gone" or product is None or product.marker is None or product.marker.withdrawn is not None:
        return said
    judged = absence(app, await app.gateway.products(), tree, head.message)
    held = not tree or said.team in {each.team for each in judged.held}
    return Said(said.team, "held" if held else "gone")


async def _second_look(app: App, view: View, record: TeamRecord, head: Head, tree: Tree) -> TeamRecord:
    """A request may be valid by itself and refused for what all files say together. Only where it is not in force that matters."""
    waiting = {"InProgress"} & {condition.reason for condition in record.conditions}
    if view.said.verdict != "granted" or not waiting:
        return record
    whole = await _whole_review(app, head, tree)
    said = _of_files(app, view.said.team, homes(tree, view.said.team, app.places.requests), whole, tree)
    judged = View(said, view.world, view.catalog, view.times, view.letters, view.unread)
    return team_record(judged, app.platform, head.commit)


# Every team


def _everybody(app: App, branch: Branch, world: World) -> Iterator[Said]:
    by_team: dict[str, tuple[str, ...]] = {}
    for path in requests_of(branch.tree, app.places.requests):
        name = app.places.requests.team_of(path)
        if name is not None and names.team_fault(name) is None:
            by_team[name] = (*by_team.get(name, ()), path)
    for name, paths in by_team.items():
        yield _of_files(app, name, paths, branch.reviewed, branch.tree)
    held = {each.team for each in branch.judged.held}
    for name in leftovers.teams_with_objects(app.platform.repository, world) - by_team.keys():
        yield Said(name, "held" if name in held or not branch.tree else "gone")


# Dead letters


async def _letters(app: App, name: str | None = None) -> list[Letter]:
    return [letter async for letter in _about_parts(app) if name in (None, letter.team)]


async def _about_parts(app: App) -> AsyncIterator[Letter]:
    async for letter in letters(app):
        if letter.stage in _PARTS:
            yield letter


def _of(found: Iterable[Letter], said: Said) -> dict[Part, Letter]:
    """The newest for each part, about what the branch says now."""
    return {_PARTS[letter.stage]: letter for letter in found if (letter.team, letter.blob) == (said.team, said.blob)}
