"""Whose turn it is while the catalogue changes a model that several teams have workspaces of."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from shared.app import App
from shared.branch.decision import Decision
from shared.branch.evaluation import evaluate_all
from shared.branch.review import Baseline, Review
from shared.catalog.catalog import Catalog
from shared.catalog.workspace_checks import faults_on
from shared.kaito.releases import DEFAULT_RELEASE
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.names import namespace as namespace_name
from shared.names import workspace as workspace_name
from shared.resources.actual import Namespace, Workspace
from shared.resources.desired import compile_workspaces, shared_models
from shared.resources.workspace_turns import Others, changed_already, has_turn_before
from shared.resources.workspaces import Manifest
from shared.stages.ownership import own_marker
from shared.stages.workspace_bounds import refused_before
from shared.stages.workspace_roads import served_names, verdict_of


async def workspaces_before(
    app: App, event: Event[TeamMessage], decision: Decision, changed: Mapping[str, Manifest]
) -> dict[str, str]:
    """Of the workspaces that are to be changed, those whose turn it is not, each with the namespace whose
    turn is before. It costs two lists, and a look at what was tried for each that is missing; the requests
    are those that a sweep has read already. The one whose turn has come asks the roads of those before it.
    """
    assert app.cluster is not None
    assert decision.catalog is not None
    catalog, team = decision.catalog, event.message.team
    reviewed = await evaluate_all(app, decision.commit, decision.tree, Baseline(today=event.now.date()))
    asking = _asking(reviewed)
    # A marker with its digest is written after the workspace: read the other way round, one that is made
    # meanwhile would be neither there nor under way.
    namespaces = await app.cluster.namespaces()
    workspaces = await app.cluster.all_workspaces()
    found = dict[str, str | None]()
    for name, manifest in changed.items():
        missing = _begun_without(name, namespaces, workspaces) - {team}
        sizes = await _not_refused(app, reviewed, name, asking.get(name, {}), missing)
        impossible = _impossible(catalog, name, frozenset(sizes.values()))
        others = Others(namespaces, workspaces, sizes, impossible, catalog.kaito or DEFAULT_RELEASE)
        found[name] = has_turn_before(own_marker(app, team), namespace_name(team), manifest, others)
        if found[name] is None:
            done = changed_already(own_marker(app, team), namespace_name(team), manifest, others)
            found[name] = await _without_road(app, done, name, served_names(catalog).get(name, name))
    return {name: before for name, before in found.items() if before is not None}


async def _without_road(app: App, teams: Sequence[str], name: str, served: str) -> str | None:
    """The first namespace of these teams whose workspace gets no calls. A road that cannot be asked from here
    says nothing: pods and conditions have decided.
    """
    verdicts = await asyncio.gather(*(verdict_of(app, team, name, served) for team in teams))
    fails = (each.word in ("RoadFails", "OtherName") for each in verdicts)
    return next((namespace_name(team) for team, lost in zip(teams, fails, strict=True) if lost), None)


def _begun_without(
    name: str, namespaces: Iterable[Namespace], workspaces: Mapping[str, Sequence[Workspace]]
) -> set[str]:
    """The teams whose namespace vouches for nothing, and lacks this workspace."""
    begun = [each for each in namespaces if each.marker is not None and not each.marker.digest]
    return {
        each.marker.team
        for each in begun
        if each.marker is not None and name not in {found.name for found in workspaces.get(each.name, ())}
    }


async def _not_refused(
    app: App, reviewed: Review, name: str, sizes: Mapping[str, str], missing: Set[str]
) -> dict[str, str]:
    """The teams that ask for a workspace, without those of the `missing` ones that are not made again."""
    refused = [each for each in missing & sizes.keys() if await _is_refused(app, reviewed, each, name)]
    return {each: size for each, size in sizes.items() if each not in refused}


async def _is_refused(app: App, reviewed: Review, team: str, name: str) -> bool:
    """Whether a team's workspace took too many nodes: it is not made again, so nobody has to wait for it."""
    assert app.cluster is not None
    catalog = reviewed.catalog
    request = next((each for each in reviewed.requests.values() if each.team == team), None)
    if catalog is None or request is None:
        return False
    desired = compile_workspaces(request, catalog, app.platform)
    return bool(await refused_before(app.cluster, namespace_name(team), desired, {name}, catalog))


def _impossible(catalog: Catalog, name: str, sizes: Set[str]) -> frozenset[str]:
    """The instance types on which KAITO makes no workspace of that name as the catalogue has it."""
    setups = [catalog.setup(model) for model in catalog.models if workspace_name(model.name) == name]
    return frozenset(
        size for size in sizes for setup in setups if setup is not None and any(faults_on(setup, size))
    )


def _asking(reviewed: Review) -> dict[str, dict[str, str]]:
    """By workspace, the teams that ask for it with the instance type, the platform among them."""
    shared = () if reviewed.catalog is None else shared_models(reviewed.catalog)
    asked = [(request.team, request.models) for request in reviewed.requests.values()]
    found = defaultdict[str, dict[str, str]](dict)
    for team, models in (*asked, (CATALOG_TEAM, shared)):
        for model in models:
            if model.instance_type is not None:
                found[workspace_name(model.name)][team] = model.instance_type
    return found
