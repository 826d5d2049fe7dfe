"""Whose Gateway it is: the setting says so, or else the Gateway."""

from __future__ import annotations

from shared.app import App
from shared.errors import MergekeyError
from shared.resources.desired import Platform


async def platform_of(app: App) -> Platform:
    """The platform by which workspaces are compiled. Where nothing tells whose Gateway it is, or it cannot be
    read, the network policies that stand are right; other reads of the cluster tell why.
    """
    facts = app.platform.cluster
    if app.cluster is None or facts is None or facts.controller is not None:
        return app.platform
    try:
        return app.platform.with_controller(await app.cluster.gateway_controller(facts.gateway))
    except MergekeyError:
        return app.platform
