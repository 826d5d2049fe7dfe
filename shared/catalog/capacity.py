"""How much of each model is granted to whom, and which requests ask for more than there is.

A model's `capacity` times the catalogue's over-commitment may be granted in sum. Grants in force count for
every team, whether it has a request or not, and are never rejected as long as they do not grow: they come
first, unchanged. Then come the teams that grow, by name; then the newcomers, by name; each is admitted as a
whole while it fits. So the outcome depends on what is asked for and what is in force, not on the order of the
messages, and an admitted team stays admitted while the others' access is being written. Capacity that a
growing request gives back of another model is free when the change is written. A model without a capacity is
listed too, and never rejects a request. The dedicated workspaces of a model are granted by the same rule, one
by one, and their GPU nodes; an existing workspace counts until it is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from math import floor
from typing import Literal, TypeGuard

from shared.catalog.catalog import Catalog, CatalogModel
from shared.catalog.workspace_checks import expected_nodes
from shared.documents.problem import quote

#: Tokens per minute of a model's shared backends, by model, None for no bound; or, for nothing of them, but a
#: dedicated workspace, its instance type, and 0 where that is unknown.
Grant = int | str | None
Grants = Mapping[str, Grant]

#: By model, the teams in whose namespace a workspace for it is there.
ExistingWorkspaces = Mapping[str, Set[str]]
#: By model and team, the GPU nodes of such a workspace, where they are known.
ExistingNodes = Mapping[tuple[str, str], int]

NODES: Literal["nodes"] = "nodes"
#: A bounded quantity: the tokens per minute of a model, (True) its dedicated workspaces, or the GPU nodes of
#: those.
Meter = tuple[str, bool | Literal["nodes"]]

#: Teams that are named in one message.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Capacity:
    """One model: its backends' capacity and the limit for all teams, in tokens per minute, and the share of
    each team.

    Both are None where the catalogue does not say; `granted` has None for a team without a bound, which only
    such a model can have.
    """

    model: str
    capacity: int | None
    limit: int | None
    granted: Mapping[str, int | None]

    @property
    def total(self) -> int:
        """The sum of the bounded grants."""
        return sum(tokens or 0 for tokens in self.granted.values())

    @property
    def unlimited(self) -> int:
        """How many teams have no bound."""
        return sum(tokens is None for tokens in self.granted.values())

    @property
    def left(self) -> int | None:
        """The tokens that may still be granted; below 0 after the capacity was lowered below the grants in
        force.
        """
        return None if self.limit is None else self.limit - self.total

    @property
    def is_over(self) -> bool:
        """Whether more is granted than may be."""
        return self.left is not None and self.left < 0

    def explain(self) -> str:
        """The share of each team, the largest first, of a model with a capacity."""
        assert self.left is not None
        rows = sorted(
            ((team, tokens or 0) for team, tokens in self.granted.items()), key=lambda row: (-row[1], row[0])
        )
        shown = [f"{team} {tokens:,}" for team, tokens in rows[:_NAMED]]
        more = (
            [f"{len(rows) - _NAMED} more teams {sum(tokens for _, tokens in rows[_NAMED:]):,}"]
            if len(rows) > _NAMED
            else []
        )
        holders = ", ".join([*shown, *more]) or "no team has any"
        return (
            f"{quote(self.model)} has {self.limit:,} tokens per minute for all teams: {holders}; "
            f"{max(self.left, 0):,} are left"
        )


@dataclass(frozen=True, slots=True)
class Workspaces:
    """One model: the number of dedicated workspaces for all teams together, and the teams that have one, by
    name. `nodes` are the GPU nodes of each, `total_nodes` how many all of them may take, None for no bound.
    """

    model: str
    total: int
    teams: tuple[str, ...]
    total_nodes: int | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """The number of workspaces that may still be made; below 0 after the total was lowered below the
        existing ones.
        """
        return self.total - len(self.teams)

    @property
    def nodes_left(self) -> int | None:
        """The nodes that may still be taken, as `left`."""
        return None if self.total_nodes is None else self.total_nodes - sum(self.nodes.values())

    @property
    def is_over(self) -> bool:
        """Whether there are more of them, or of their nodes, than may be."""
        return self.left < 0 or (self.nodes_left is not None and self.nodes_left < 0)

    def explain(self) -> str:
        """The teams that have one, for people, and the nodes of each where those are bounded."""
        more = [f"{len(self.teams) - _NAMED} more teams"] if len(self.teams) > _NAMED else []
        holders = ", ".join([*self.teams[:_NAMED], *more]) or "no team has one"
        said = (
            f"All teams together may have {self.total} dedicated {quote(self.model)}: {holders}; "
            f"{max(self.left, 0)} are left"
        )
        return said if self.nodes_left is None else f"{said}. {self._explain_nodes(self.nodes_left)}"

    def _explain_nodes(self, left: int) -> str:
        """The most first."""
        rows = sorted(self.nodes.items(), key=lambda row: (-row[1], row[0]))
        more = [f"{len(rows) - _NAMED} more teams {sum(nodes for _, nodes in rows[_NAMED:]):,}"]
        shown = [*(f"{team} {nodes:,}" for team, nodes in rows[:_NAMED]), *more[: len(rows) > _NAMED]]
        return (
            f"They may take {self.total_nodes or 0:,} GPU nodes: {', '.join(shown) or 'no team has any'}; "
            f"{max(left, 0):,} are left"
        )


@dataclass(frozen=True, slots=True)
class Allocation:
    """Capacities and workspaces by model. `rejected` are, by team, the models of which it asks for too many
    tokens, `rejected_workspaces` those of which it asks for one workspace too many, `rejected_nodes` for too
    many GPU nodes.
    """

    capacities: Mapping[str, Capacity]
    rejected: Mapping[str, tuple[str, ...]]
    workspaces: Mapping[str, Workspaces]
    rejected_workspaces: Mapping[str, tuple[str, ...]]
    rejected_nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def allocate(
    catalog: Catalog,
    asked: Mapping[str, Grants],
    in_force: Mapping[str, Grants],
    existing: ExistingWorkspaces | None = None,
    holding: Set[str] = frozenset(),
    nodes: ExistingNodes | None = None,
) -> Allocation:
    """Allocate by what teams ask for and what is in force, both by team: a team that asks for nothing keeps
    its grants. The capacity that the teams in `holding` give back is not free, because their change may be
    held. `nodes` are those of the `existing` workspaces.
    """
    limits, there = limits_of(catalog), Existing(catalog, existing or {}, nodes or {})
    teams = {*asked, *in_force, *(team for found in there.workspaces.values() for team in found)}
    before = _usage(catalog, {team: in_force.get(team, {}) for team in teams}, there)
    wanted = _usage(catalog, asked, there)
    rejected = _rejected(wanted, before, limits, has_access=in_force.keys(), holding=holding)
    granted_now = {**in_force, **{team: grants for team, grants in asked.items() if team not in rejected}}
    return Allocation(
        capacities={
            model.name: _capacity(model, limits.get((model.name, False)), granted_now)
            for model in catalog.models
        },
        rejected=_of_kind(rejected, False),
        workspaces=_all_workspaces(limits, granted_now, there),
        rejected_workspaces=_of_kind(rejected, True),
        rejected_nodes=_of_kind(rejected, NODES),
    )


def _all_workspaces(
    limits: Mapping[Meter, int], granted_now: Mapping[str, Grants], there: Existing
) -> dict[str, Workspaces]:
    return {
        model: _workspaces(model, total, granted_now, there)
        for (model, kind), total in limits.items()
        if kind is True
    }


@dataclass(frozen=True, slots=True)
class Existing:
    """The workspaces that are there, and their nodes."""

    catalog: Catalog
    workspaces: ExistingWorkspaces
    nodes: ExistingNodes

    def of(self, team: str) -> dict[Meter, int]:
        """What those of a team take of everything that is bounded."""
        nodes, limits = self.all_nodes(team), limits_of(self.catalog)
        found: dict[Meter, int] = {(model, True): 1 for model in nodes}
        found |= {(model, NODES): taken for model, taken in nodes.items() if (model, NODES) in limits}
        return found

    def all_nodes(self, team: str) -> dict[str, int]:
        """By model, the nodes of those of a team."""
        return {
            model: self.nodes.get((model, team)) or _most_nodes(self.catalog, model)
            for model, teams in self.workspaces.items()
            if team in teams
        }


def _usage(catalog: Catalog, grants: Mapping[str, Grants], existing: Existing) -> dict[str, dict[Meter, int]]:
    """By team, what its grants and its workspaces take of everything that is bounded. An existing workspace
    occupies its GPUs, whatever is asked for.
    """
    return {team: larger(metered(catalog, granted), existing.of(team)) for team, granted in grants.items()}


def larger(one: Mapping[Meter, int], other: Mapping[Meter, int]) -> dict[Meter, int]:
    """The larger amount of each."""
    return {meter: max(one.get(meter, 0), other.get(meter, 0)) for meter in {**one, **other}}


def _rejected(
    wanted: Mapping[str, Mapping[Meter, int]],
    before: Mapping[str, Mapping[Meter, int]],
    limits: Mapping[Meter, int],
    *,
    has_access: Set[str],
    holding: Set[str],
) -> dict[str, tuple[Meter, ...]]:
    """By team, the quantities that exceed their limit. Teams are admitted one after the other, each as a
    whole: those that do not grow, those that have access, newcomers.
    """
    totals, rejected = _sum(before), dict[str, tuple[Meter, ...]]()
    grows = {team: _grows(amounts, before[team]) for team, amounts in wanted.items()}
    for team in sorted(wanted, key=lambda team: (grows[team], team not in has_access, team)):
        step = {meter: wanted[team].get(meter, 0) - before[team].get(meter, 0) for meter in limits}
        beyond = _beyond(step, totals, limits)
        if beyond:
            rejected[team] = beyond
        else:
            # Capacity that a growing team gives back is free when its change is written; not if it may be
            # held.
            totals.update(+Counter(step) if grows[team] or team in holding else step)
    return rejected


def _beyond(
    step: Mapping[Meter, int], totals: Mapping[Meter, int], limits: Mapping[Meter, int]
) -> tuple[Meter, ...]:
    return tuple(
        meter for meter, limit in limits.items() if step[meter] > 0 and totals[meter] + step[meter] > limit
    )


@lru_cache(maxsize=64)
def limits_of(catalog: Catalog) -> Mapping[Meter, int]:
    """Everything that a catalogue bounds over all teams."""
    limits: dict[Meter, int] = {
        (model.name, False): floor(model.capacity * catalog.over_commitment)
        for model in catalog.models
        if model.capacity is not None
    }
    for model in catalog.models:
        if model.dedicated is not None:
            limits[model.name, True] = model.dedicated.total
        if model.dedicated is not None and model.dedicated.total_nodes is not None:
            limits[model.name, NODES] = model.dedicated.total_nodes
    return limits


def metered(catalog: Catalog, grants: Grants) -> dict[Meter, int]:
    """The part of each bounded quantity that the grants take. A grant without a bound, from before the model
    had a capacity, takes a team's ceiling of today.
    """
    found = {
        (model, kind): _amount(catalog, model, kind, grants[model])
        for model, kind in limits_of(catalog)
        if model in grants
    }
    return {meter: amount for meter, amount in found.items() if amount}


def _amount(catalog: Catalog, model: str, kind: bool | Literal["nodes"], grant: Grant) -> int:
    if kind is False:
        tokens = ceiling(catalog, model) if grant is None else grant
        return 0 if isinstance(tokens, str) else tokens
    if not is_dedicated(grant):
        return 0
    return 1 if kind is True else nodes_of_grant(catalog, model, grant)


def is_dedicated(grant: Grant) -> TypeGuard[int | str]:
    """Whether it is a dedicated workspace."""
    return grant == 0 or isinstance(grant, str)


def nodes_of_grant(catalog: Catalog, model: str, grant: Grant) -> int:
    """The GPU nodes of a dedicated workspace; where they are unknown, the most that it may take."""
    found = catalog.model(model)
    setup = None if found is None else catalog.setup(found)
    nodes = expected_nodes(setup, grant) if setup is not None and isinstance(grant, str) else None
    return nodes or _most_nodes(catalog, model)


def _most_nodes(catalog: Catalog, model: str) -> int:
    """The nodes of a workspace of which the instance type is unknown: the most of those that are allowed."""
    found = catalog.model(model)
    setup = None if found is None else catalog.setup(found)
    if found is None or setup is None or found.dedicated is None:
        return 1
    return max(expected_nodes(setup, size) or 1 for size in found.dedicated.instance_types)


def ceiling(catalog: Catalog, model: str) -> int:
    """The tokens per minute that one team may have of a model; its whole capacity when it has no ceiling."""
    found = catalog.model(model)
    return 0 if found is None else found.max_tokens_per_minute or found.capacity or 0


def _sum(amounts: Mapping[str, Mapping[Meter, int]]) -> Counter[Meter]:
    totals = Counter[Meter]()
    for each in amounts.values():
        totals.update(each)
    return totals


def _of_kind(
    rejected: Mapping[str, tuple[Meter, ...]], kind: bool | Literal["nodes"]
) -> dict[str, tuple[str, ...]]:
    found = {team: tuple(model for model, of in meters if of == kind) for team, meters in rejected.items()}
    return {team: models for team, models in found.items() if models}


def _grows(wanted: Mapping[Meter, int], before: Mapping[Meter, int]) -> bool:
    return any(amount > before.get(meter, 0) for meter, amount in wanted.items())


def _capacity(model: CatalogModel, limit: int | None, granted_now: Mapping[str, Grants]) -> Capacity:
    """A team that had no bound before the model had a capacity counts with the ceiling of today."""
    bound = None if limit is None else model.max_tokens_per_minute or model.capacity
    shares = {team: grants.get(model.name, 0) for team, grants in sorted(granted_now.items())}
    bounded = {
        team: bound if tokens is None else tokens
        for team, tokens in shares.items()
        if not isinstance(tokens, str)
    }
    return Capacity(
        model.name, model.capacity, limit, {team: tokens for team, tokens in bounded.items() if tokens != 0}
    )


def _workspaces(model: str, total: int, granted_now: Mapping[str, Grants], existing: Existing) -> Workspaces:
    """Empty grants take nothing: the teams that only have a workspace there have those."""
    catalog, teams = existing.catalog, existing.workspaces.get(model, frozenset())
    asked = {team for team, grants in granted_now.items() if is_dedicated(grants.get(model))}
    amounts = _usage(catalog, {team: granted_now.get(team, {}) for team in asked | teams}, existing)
    return Workspaces(
        model,
        total,
        tuple(sorted(asked | teams)),
        limits_of(catalog).get((model, NODES)),
        {team: found[model, NODES] for team, found in amounts.items() if (model, NODES) in found},
    )


def over_allocated(allocation: Allocation) -> Iterator[Capacity | Workspaces]:
    """The models of which more is in force than may be granted: their capacity, the total, or that of the
    nodes, was lowered.
    """
    both: list[Capacity | Workspaces] = [*allocation.capacities.values(), *allocation.workspaces.values()]
    return (each for each in both if each.is_over)
