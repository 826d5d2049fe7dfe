"""What a review says of workspaces: those that KAITO does not make, the agent pools that are left, and what
the nodes of a new one cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.branch.ceilings import MAX_POOLS, beyond_pools
from shared.catalog.capacity import (
    Existing,
    ExistingNodes,
    ExistingWorkspaces,
    Grant,
    Grants,
    is_dedicated,
    nodes_of_grant,
)
from shared.catalog.catalog import Catalog, CatalogModel, ParsedCatalog
from shared.catalog.workspace_checks import Setup, expected_nodes, faults_on, node_cost, nodes_of
from shared.documents.problem import START, Problem, counted, problem_at, quote
from shared.requests.request import ParsedRequest


@dataclass(frozen=True, slots=True)
class InForce:
    """What is there already: by team the grants in force, the dedicated workspaces that exist with their
    nodes, and the catalogue before; None where that is not known.
    """

    grants: Mapping[str, Grants]
    workspaces: ExistingWorkspaces
    nodes: ExistingNodes
    catalog: ParsedCatalog | None

    def has(self, team: str, model: str) -> bool:
        """Whether a team has a dedicated workspace of the model, or was granted one."""
        return is_dedicated(self.grant(team, model)) or team in self.workspaces.get(model, ())

    def grant(self, team: str, model: str) -> Grant:
        return self.grants.get(team, {}).get(model)

    def is_used(self, model: str) -> bool:
        """Whether any team has one."""
        return bool(self.workspaces.get(model)) or any(
            is_dedicated(grants.get(model)) for grants in self.grants.values()
        )


def catalog_problems(found: ParsedCatalog, before: InForce) -> Iterator[Problem]:
    """The problems of a catalogue. A fault of a workspace is a warning where it stood there before, and where
    a team has such a workspace already: it can have become one by a newer version of Mergekey, and no other
    team must wait until it is mended.
    """
    known = () if before.catalog is None else before.catalog.faults
    stood = {(model, fault.reason, fault.message) for model, fault in known}
    standing = {
        fault
        for model, fault in found.faults
        if (model, fault.reason, fault.message) in stood or before.is_used(model)
    }
    for problem in found.problems:
        yield replace(problem, level="warning") if problem in standing else problem


def impossible_workspaces(
    catalog: Catalog, evaluations: Mapping[str, ParsedRequest], before: InForce
) -> Iterator[Problem]:
    """Requests for a workspace that KAITO does not make. A team that has it keeps it."""
    for path, evaluation in evaluations.items():
        for model, setup, size in _dedicated(catalog, evaluation):
            team = evaluation.team or ""
            if before.has(team, model.name) and before.grant(team, model.name) in (size, 0, None):
                continue
            for _, reason, message in faults_on(setup, size):
                advice = f"KAITO makes no workspace of {quote(model.name)} on {quote(size)} ({reason})"
                yield problem_at(
                    path,
                    evaluation.models_at[model.name],
                    "WorkspaceImpossible",
                    f"{advice}. {message} Ask the platform team, who own the catalogue.",
                )


def _dedicated(catalog: Catalog, evaluation: ParsedRequest) -> Iterator[tuple[CatalogModel, Setup, str]]:
    """The dedicated workspaces of a request: the model, what they run and the instance type."""
    for access in evaluation.request.models if evaluation.request else ():
        size = access.instance_type
        model = None if size is None else catalog.model(access.name)
        setup = None if model is None else catalog.setup(model)
        if model is not None and setup is not None and size is not None:
            yield model, setup, size


def above_pools(catalog: Catalog, asked: Mapping[str, ParsedRequest], before: InForce) -> Iterator[Problem]:
    """The requests, by path, for which the cluster has no agent pools left: KAITO makes one for each node."""
    teams = {*before.grants, *(team for there in before.workspaces.values() for team in there)}
    taken = {team: _pools(catalog, before.grants.get(team, {}), team, before) for team in teams}
    wanted = {
        path: (evaluation.team or "", _pools(catalog, evaluation.tokens, evaluation.team or "", before))
        for path, evaluation in asked.items()
    }
    for path, message in beyond_pools(wanted, taken, catalog.pools_taken + _shared_pools(catalog)):
        yield problem_at(path, asked[path].team_at, "PlatformFull", f"{message}. Ask the platform team.")


def _pools(catalog: Catalog, grants: Grants, team: str, before: InForce) -> int:
    """The nodes of a team's workspaces; one that exists counts whatever is asked for."""
    existing = Existing(catalog, before.workspaces, before.nodes).all_nodes(team)
    asked = {
        model: nodes_of_grant(catalog, model, grant)
        for model, grant in grants.items()
        if is_dedicated(grant) and _has_workspaces(catalog, model)
    }
    return sum(max(asked.get(model, 0), existing.get(model, 0)) for model in {**asked, **existing})


def _has_workspaces(catalog: Catalog, name: str) -> bool:
    model = catalog.model(name)
    return model is not None and model.dedicated is not None


def _shared_pools(catalog: Catalog) -> int:
    return sum(nodes for _, _, nodes in _shared(catalog))


def shared_pool_problems(catalog: Catalog, path: str) -> Iterator[Problem]:
    """The platform's own workspaces alone take more pools than there are."""
    taken = catalog.pools_taken + _shared_pools(catalog)
    if taken > MAX_POOLS:
        message = (
            f"The shared workspaces and 'poolsTaken' need {taken} agent pools, and a cluster has at most "
            f"{MAX_POOLS}. Offer fewer of them."
        )
        yield problem_at(path, START, "PlatformFull", message, "warning")


def _shared(catalog: Catalog) -> Iterator[tuple[CatalogModel, str, int]]:
    """The workspaces that the platform runs, with size and nodes; an unknown number counts as one."""
    for model in catalog.models:
        setup = catalog.setup(model)
        if model.shared is not None and setup is not None:
            yield model, model.shared.instance_type, expected_nodes(setup, model.shared.instance_type) or 1


def costs(catalog: Catalog, accepted: Mapping[str, ParsedRequest], before: InForce) -> Iterator[Problem]:
    """A notice for each dedicated workspace that is new, or on another instance type than before."""
    for path, evaluation in accepted.items():
        for model, setup, size in _dedicated(catalog, evaluation):
            team = evaluation.team or ""
            if before.grant(team, model.name) == size or not catalog.node_price.get(size):
                continue
            message = f"A dedicated {quote(model.name)} {cost(catalog, setup, size)}."
            yield problem_at(path, evaluation.models_at[model.name], "GpuCost", message, "notice")


def shared_costs(catalog: Catalog, path: str, before: InForce) -> Iterator[Problem]:
    """A notice for each workspace of the platform's that is new or changed."""
    former = None if before.catalog is None else before.catalog.catalog
    known = {} if former is None else {model.name: _place(former, model) for model in former.models}
    for model, size, _ in _shared(catalog):
        setup = catalog.setup(model)
        if (
            setup is not None
            and catalog.node_price.get(size)
            and known.get(model.name) != _place(catalog, model)
        ):
            message = f"The shared {quote(model.name)} {cost(catalog, setup, size)}."
            yield problem_at(path, START, "GpuCost", message, "notice")


def _place(catalog: Catalog, model: CatalogModel) -> tuple[Setup | None, object]:
    return catalog.setup(model), model.shared


def cost(catalog: Catalog, setup: Setup, size: str) -> str:
    """What a workspace takes, for people: nodes, and their price where the catalogue has it. Where the tables
    do not say how many, it is at most what the catalogue allows.
    """
    price, nodes = catalog.node_price.get(size), expected_nodes(setup, size)
    most = "" if isinstance(nodes_of(setup, size), int) else "up to "
    takes = f"takes {most + counted(nodes, 'node') if nodes else 'an unknown number of nodes'} of {size}"
    found = node_cost(nodes or 1, price)
    if found.per_hour is None or found.per_month is None:
        return takes
    money = f"{found.per_hour:,.2f} {catalog.currency} an hour, {found.per_month:,.0f} a month"
    return f"{takes}: {most}{money}" if nodes else f"{takes}: {money} for each"
