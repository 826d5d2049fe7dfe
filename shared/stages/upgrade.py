"""The first hours after an upgrade: what differs by our version alone is written in portions, and the first
sweep ends nobody's access.

A release that makes another policy of the same request would have the next sweep write to every team at once.
So of the teams whose file and catalogue are those that their marker names, a sweep queues only some; the rest
waits for the next ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.app import App
from shared.branch.states import TeamState
from shared.git import Tree, blob_id
from shared.inventory.drift import is_by_digest
from shared.inventory.snapshot import Finding, Snapshot
from shared.marker import RULES, Marker

#: Teams whose texts are looked up at the same time, and at most in one sweep: two calls of GitHub each, none
#: at the second look.
AT_ONCE, MOST_LOOKED_UP = 8, 200


@dataclass(frozen=True, slots=True)
class Portion:
    """`waiting`: teams that differ by our version alone and whose turn comes with a later sweep."""

    waiting: frozenset[str] = frozenset()
    queued: int = 0


def is_first_sweep(world: Snapshot) -> bool:
    """Whether no sweep has judged by these rules yet: the policy fragment, which stands since the platform
    does, says by which.
    """
    return bool(world.fragment) and world.rules < RULES


async def portion(app: App, tree: Tree, states: Iterable[TeamState], findings: Sequence[Finding]) -> Portion:
    """Of the teams that differ by our version alone the first `app.sweep_upgrades`, by name; nobody is looked
    up while there are fewer.
    """
    other = {finding.team for finding in findings if not is_by_digest(finding.what)}
    granted = {
        each.team: each
        for each in states
        if each.action.startswith("grant") and each.marker is not None and each.marker.digest
    }
    asked = sorted({finding.team for finding in findings if finding.team in granted} - other)
    most = app.sweep_upgrades
    if len(asked) <= most:
        return Portion()
    gate = asyncio.Semaphore(AT_ONCE)

    async def is_by_version(team: str) -> bool:
        marker = granted[team].marker
        async with gate:
            return (
                marker is not None
                and marker.path == granted[team].path
                and await _is_unchanged(app, tree, marker)
            )

    looked_up = asked[: max(most, MOST_LOOKED_UP)]
    alike = [
        team
        for team, yes in zip(looked_up, await asyncio.gather(*map(is_by_version, looked_up)), strict=True)
        if yes
    ]
    later = [*alike[most:], *asked[len(looked_up) :]]
    return Portion(frozenset(later), len(alike[:most]))


async def _is_unchanged(app: App, tree: Tree, marker: Marker) -> bool:
    """Whether the request and the catalogue are those that the marker's commit had."""
    paths = [path for path in (marker.path, app.places.catalog) if path in tree]
    if not marker.commit or len(paths) < 2:
        return False
    texts = await asyncio.gather(*(app.repository.file(marker.commit, path) for path in paths))
    return all(
        text is not None and blob_id(text, len(tree[path].blob)) == tree[path].blob
        for path, text in zip(paths, texts, strict=True)
    )
