"""The first sweeps after an upgrade: teams that differ by our version alone are written in portions, and the
first sweep ends no access.

A release that compiles another policy from the same request would have the next sweep write to every team at
once. So of the teams whose file and catalogue are those that their marker names, a sweep queues only some;
the others wait for the next sweeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.app import App
from shared.branch.states import TeamState
from shared.git import Tree, blob_id
from shared.inventory.differences import Difference
from shared.inventory.snapshot import Snapshot
from shared.marker import RULES, Marker
from shared.resources.plan import UNREAD

#: Teams whose files are compared at the same time, and at most in one sweep. Each takes two requests to
#: GitHub, and none at the second time.
CONCURRENCY, MAX_COMPARED = 8, 200


@dataclass(frozen=True, slots=True)
class Portion:
    """`waiting`: the teams that differ by our version alone and are left to a later sweep; `queued`: how many
    such teams this sweep takes.
    """

    waiting: frozenset[str] = frozenset()
    queued: int = 0


def is_first_sweep(snapshot: Snapshot) -> bool:
    """Whether no sweep has applied these rules yet: the description of the policy fragment names the rules of
    the last one.
    """
    return snapshot.fragment not in ("", UNREAD) and snapshot.rules < RULES


async def portion(
    app: App, tree: Tree, states: Iterable[TeamState], findings: Sequence[Difference]
) -> Portion:
    """Of the teams that differ by our version alone, the first `app.sweep_upgrades` by name. No files are
    compared while fewer teams differ.
    """
    markers = dict(_granted(states))
    other = {finding.team for finding in findings if not finding.is_by_release} | _edited(findings)
    teams = sorted({finding.team for finding in findings if finding.team in markers} - other)
    limit = app.sweep_upgrades
    if len(teams) <= limit:
        return Portion()
    compared = teams[: max(limit, MAX_COMPARED)]
    upgraded = await _unchanged(app, tree, {team: markers[team] for team in compared})
    waiting = [*upgraded[limit:], *teams[len(compared) :]]
    return Portion(frozenset(waiting), len(upgraded[:limit]))


def _edited(findings: Iterable[Difference]) -> frozenset[str]:
    """The teams whose limits were edited. Those that another version wrote have another digest, and so a
    namespace that differs too.
    """
    kinds = {(each.team, each.finding.kind) for each in findings}
    return frozenset(team for team, kind in kinds if kind == "limits" and (team, "namespace") not in kinds)


def _granted(states: Iterable[TeamState]) -> Iterator[tuple[str, Marker | None]]:
    """The teams with access that was written to its end; with the marker where it names the team's file."""
    for state in states:
        marker = state.marker
        if state.action.startswith("grant") and marker is not None and marker.digest:
            yield state.team, marker if marker.path == state.path else None


async def _unchanged(app: App, tree: Tree, markers: Mapping[str, Marker | None]) -> list[str]:
    """The teams whose files are those that their markers name."""
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def is_unchanged(marker: Marker | None) -> bool:
        async with semaphore:
            return marker is not None and await _is_unchanged(app, tree, marker)

    answers = await asyncio.gather(*map(is_unchanged, markers.values()))
    return [team for team, answer in zip(markers, answers, strict=True) if answer]


async def _is_unchanged(app: App, tree: Tree, marker: Marker) -> bool:
    """Whether the request and the catalogue are those that the marker's commit had."""
    paths = [path for path in (marker.path, app.paths.catalog) if path in tree]
    if not marker.commit or len(paths) < 2:
        return False
    texts = await asyncio.gather(*(app.repository.file(marker.commit, path) for path in paths))
    return all(
        text is not None and blob_id(text, len(tree[path].blob)) == tree[path].blob
        for path, text in zip(paths, texts, strict=True)
    )
