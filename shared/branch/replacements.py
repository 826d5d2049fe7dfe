"""What a change of the catalogue or of a request costs the workspaces that stand: which teams wait for how
long, and what their nodes cost meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.catalog.catalog import Catalog, CatalogModel
from shared.catalog.workspace_checks import expected_nodes
from shared.documents.problem import START, Position, Problem, counted, listed, problem_at, quote
from shared.documents.strict_yaml import read_bytes
from shared.kaito.presets import Preset, find_preset
from shared.kaito.releases import DEFAULT_RELEASE
from shared.marker import Marker
from shared.names import CATALOG_TEAM
from shared.requests.request import AccessRequest, ModelAccess
from shared.resources.actual import Workspace
from shared.resources.desired import shared_models
from shared.resources.inference_config import configuration_of
from shared.resources.workspace_changes import Need, need
from shared.resources.workspaces import fixed_fields, workspace_manifest

#: Teams that one message names.
_NAMED = 20
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Due:
    """A workspace that a change makes anew or restarts."""

    team: str
    model: str
    need: Need
    instance_type: str | None


def due_for(
    team: str, accesses: Iterable[ModelAccess], catalog: Catalog, standing: Mapping[str, Workspace]
) -> Iterator[Due]:
    """What the team's workspaces need that stand, by workspace name."""
    release, marker = catalog.kaito or DEFAULT_RELEASE, Marker(0, team, "", "")
    for access in accesses:
        if access.instance_type is None:
            continue
        manifest = workspace_manifest(marker, access, catalog)
        found = standing.get(manifest["metadata"]["name"])
        if found is not None and found.managed and not found.terminating:
            needed = need(found, manifest, release)
            if needed in ("new", "restart"):
                yield Due(team, access.name, needed, access.instance_type)


def due_between(
    before: tuple[Mapping[str, AccessRequest], Catalog], after: tuple[Mapping[str, AccessRequest], Catalog]
) -> Iterator[Due]:
    """The same for two states of the branch, of which the former has been provisioned; the platform's own
    workspaces come first.
    """
    shared = dict(_standing(CATALOG_TEAM, shared_models(before[1]), before[1]))
    yield from due_for(CATALOG_TEAM, shared_models(after[1]), after[1], shared)
    for path, request in after[0].items():
        former = before[0].get(path)
        if former is not None and former.team == request.team:
            standing = dict(_standing(former.team, former.models, before[1]))
            yield from due_for(request.team, request.models, after[1], standing)


def _standing(
    team: str, accesses: Iterable[ModelAccess], catalog: Catalog
) -> Iterator[tuple[str, Workspace]]:
    for access in accesses:
        if access.instance_type is not None:
            manifest = workspace_manifest(Marker(0, team, "", ""), access, catalog)
            name, found = manifest["metadata"]["name"], configuration_of(manifest)
            yield name, Workspace(name, "", fixed_fields(manifest), (), False, True, configuration=found)


def replacement_warnings(path: str, content: bytes, catalog: Catalog, due: Iterable[Due]) -> list[Problem]:
    """A warning at the catalogue for each model with such workspaces."""
    by_model: dict[str, list[Due]] = defaultdict(list)
    for each in due:
        by_model[each.model].append(each)
    document = read_bytes(path, content)
    places = (
        {
            str(model.get("name")): document.at(("models", index))
            for index, model in enumerate(document.data.get("models", ()))
            if isinstance(model, dict)
        }
        if isinstance(document.data, dict)
        else {}
    )
    return [
        _warning(path, places.get(name, START), model, catalog, found)
        for name, found in sorted(by_model.items())
        if (model := catalog.model(name)) is not None
    ]


def _warning(path: str, place: Position, model: CatalogModel, catalog: Catalog, due: list[Due]) -> Problem:
    release = catalog.kaito or DEFAULT_RELEASE
    preset = None if model.preset is None else find_preset(release, model.preset)
    teams = sorted({each.team for each in due})
    named = listed(teams[:_NAMED]) + (f" and {len(teams) - _NAMED:,} more" if len(teams) > _NAMED else "")
    what = "made anew" if any(each.need == "new" for each in due) else "restarted"
    texts = [
        f"The workspaces of {quote(model.name)} of {counted(len(teams), 'team')} ({named}) are {what}, one "
        "at a time",
        _minutes(preset, len(due)),
        _cost(model, catalog, preset, due),
    ]
    message = "; ".join(filter(None, texts)) + "." + _renamed(model, preset)
    return problem_at(path, place, "WorkspacesReplaced", message, "warning")


def _minutes(preset: Preset | None, count: int) -> str:
    if preset is None:
        return "for how long each of them does not answer is not known"
    minutes = round(preset.ready_minutes)
    return f"each of them does not answer for up to {minutes:,} minutes, all take up to {minutes * count:,}"


def _cost(model: CatalogModel, catalog: Catalog, preset: Preset | None, due: list[Due]) -> str:
    """What the nodes cost while they do not answer; empty where anything that it depends on is unknown."""
    setup = catalog.setup(model)
    if setup is None or preset is None:
        return ""
    hours = Decimal(str(preset.ready_minutes)) / 60
    total = Decimal(0)
    for each in due:
        nodes = expected_nodes(setup, each.instance_type or "")
        price = catalog.node_price.get(each.instance_type or "")
        if price is None:
            return f"what that costs is not known: 'nodePrice' has no {each.instance_type}"
        if nodes is None:
            return "what that costs is not known, because the number of nodes is not"
        total += nodes * price * hours
    return f"their nodes cost up to {total.quantize(_CENT)} {catalog.currency or ''}".rstrip() + " meanwhile"


def _renamed(model: CatalogModel, preset: Preset | None) -> str:
    """What the gateway asks for meanwhile is the new name, which the standing servers do not know."""
    if not model.name_is_written or (preset is not None and preset.served == model.name):
        return ""
    return (
        " A server that was started without this name answers 404 until its turn is over: see "
        "docs/catalogue.md, workspaces."
    )
