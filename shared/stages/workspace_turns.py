"""Whose turn it is while the catalogue changes a model that several teams have workspaces of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shared.app import App
from shared.branch.decision import Decision
from shared.branch.evaluation import evaluate_all
from shared.branch.review import Baseline
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.names import namespace as namespace_name
from shared.names import workspace as workspace_name
from shared.resources.workspace_turns import Others, has_turn_before
from shared.resources.workspaces import Manifest
from shared.stages.ownership import own_marker


async def workspaces_before(
    app: App, event: Event[TeamMessage], decision: Decision, changed: Mapping[str, Manifest]
) -> dict[str, str]:
    """Of the workspaces that are to be changed, those whose turn it is not, each with the namespace whose
    turn is before. It costs two lists; the requests are those that a sweep has read already.
    """
    assert app.cluster is not None
    team = event.message.team
    namespaces, workspaces, asking = await asyncio.gather(
        app.cluster.namespaces(), app.cluster.all_workspaces(), _asking(app, event, decision)
    )
    found = {
        name: has_turn_before(
            own_marker(app, team),
            namespace_name(team),
            manifest,
            Others(namespaces, workspaces, asking.get(name, frozenset())),
        )
        for name, manifest in changed.items()
    }
    return {name: before for name, before in found.items() if before is not None}


async def _asking(app: App, event: Event[TeamMessage], decision: Decision) -> dict[str, frozenset[str]]:
    """By workspace, the teams that ask for it, the platform among them."""
    reviewed = await evaluate_all(app, decision.commit, decision.tree, Baseline(today=event.now.date()))
    asked = [
        (workspace_name(model.name), request.team)
        for request in reviewed.requests.values()
        for model in request.models
        if model.instance_type is not None
    ]
    models = reviewed.catalog.models if reviewed.catalog is not None else ()
    asked += [(workspace_name(model.name), CATALOG_TEAM) for model in models if model.shared is not None]
    return {name: frozenset(team for other, team in asked if other == name) for name, _ in asked}
