"""How much of each model is granted to whom, and which requests ask for more than there is.

A model's `capacity` times the catalogue's over-commitment may be granted in sum. Grants in force count for
every team, whether it has a request or not, and are never rejected as long as they do not grow: they come
first, unchanged. Then come the teams that grow, by name; then the newcomers, by name; each is admitted as a
whole while it fits. So the outcome depends on what is asked for and what is in force, not on the order of the
messages, and an admitted team stays admitted while the others' access is being written. Capacity that a
growing request gives back of another model is free when the change is written. A model without a capacity is
listed too, and never rejects a request. The dedicated workspaces of a model are granted by the same rule, one
by one; an existing workspace counts until it is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from math import floor

from shared.catalog.catalog import Catalog, CatalogModel
from shared.documents.problem import quote

#: Tokens per minute of a model's shared backends, by model: None for no bound, 0 for nothing of them, but a
#: dedicated workspace.
Grants = Mapping[str, int | None]

#: By model, the teams in whose namespace a workspace for it is there.
ExistingWorkspaces = Mapping[str, Set[str]]

#: A bounded quantity: the tokens per minute of a model, or (True) its dedicated workspaces.
Meter = tuple[str, bool]

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
    name.
    """

    model: str
    total: int
    teams: tuple[str, ...]

    @property
    def left(self) -> int:
        """The number of workspaces that may still be made; below 0 after the total was lowered below the
        existing ones.
        """
        return self.total - len(self.teams)

    def explain(self) -> str:
        """The teams that have one, for people."""
        more = [f"{len(self.teams) - _NAMED} more teams"] if len(self.teams) > _NAMED else []
        holders = ", ".join([*self.teams[:_NAMED], *more]) or "no team has one"
        return (
            f"All teams together may have {self.total} dedicated {quote(self.model)}: {holders}; "
            f"{max(self.left, 0)} are left"
        )


@dataclass(frozen=True, slots=True)
class Allocation:
    """Capacities and workspaces by model. `rejected` are, by team, the models of which it asks for too many
    tokens, `rejected_workspaces` those of which it asks for one workspace too many.
    """

    capacities: Mapping[str, Capacity]
    rejected: Mapping[str, tuple[str, ...]]
    workspaces: Mapping[str, Workspaces]
    rejected_workspaces: Mapping[str, tuple[str, ...]]


def allocate(
    catalog: Catalog,
    asked: Mapping[str, Grants],
    in_force: Mapping[str, Grants],
    existing: ExistingWorkspaces | None = None,
    holding: Set[str] = frozenset(),
) -> Allocation:
    """Allocate by what teams ask for and what is in force, both by team: a team that asks for nothing keeps
    its grants. The capacity that the teams in `holding` give back is not free, because their change may be
    held.
    """
    limits, existing = limits_of(catalog), existing or {}
    teams = {*asked, *in_force, *(team for there in existing.values() for team in there)}
    before = _usage(catalog, {team: in_force.get(team, {}) for team in teams}, existing)
    wanted = _usage(catalog, asked, existing)
    rejected = _rejected(wanted, before, limits, has_access=in_force.keys(), holding=holding)
    granted_now = {**in_force, **{team: grants for team, grants in asked.items() if team not in rejected}}
    return Allocation(
        capacities={
            model.name: _capacity(model, limits.get((model.name, False)), granted_now)
            for model in catalog.models
        },
        rejected=_of_kind(rejected, dedicated=False),
        workspaces={
            model: _workspaces(model, total, granted_now, existing)
            for (model, dedicated), total in limits.items()
            if dedicated
        },
        rejected_workspaces=_of_kind(rejected, dedicated=True),
    )


def _usage(
    catalog: Catalog, grants: Mapping[str, Grants], existing: ExistingWorkspaces
) -> dict[str, dict[Meter, int]]:
    """By team, what its grants and its workspaces take of everything that is bounded."""
    return {
        team: _with_existing(metered(catalog, granted), team, existing) for team, granted in grants.items()
    }


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
    tokens = {
        (model.name, False): floor(model.capacity * catalog.over_commitment)
        for model in catalog.models
        if model.capacity is not None
    }
    return tokens | {
        (model.name, True): model.dedicated.total for model in catalog.models if model.dedicated is not None
    }


def metered(catalog: Catalog, grants: Grants) -> dict[Meter, int]:
    """The part of each bounded quantity that the grants take. A grant without a bound, from before the model
    had a capacity, takes a team's ceiling of today.
    """
    found: dict[Meter, int] = {}
    for model, own in limits_of(catalog):
        if model in grants:
            tokens = grants[model]
            found[model, own] = (
                int(tokens == 0) if own else ceiling(catalog, model) if tokens is None else tokens
            )
    return {meter: amount for meter, amount in found.items() if amount}


def ceiling(catalog: Catalog, model: str) -> int:
    """The tokens per minute that one team may have of a model; its whole capacity when it has no ceiling."""
    found = catalog.model(model)
    return 0 if found is None else found.max_tokens_per_minute or found.capacity or 0


def _with_existing(amounts: dict[Meter, int], team: str, existing: ExistingWorkspaces) -> dict[Meter, int]:
    """An existing workspace occupies its GPU, whatever is asked for."""
    return amounts | {(model, True): 1 for model, teams in existing.items() if team in teams}


def _sum(amounts: Mapping[str, Mapping[Meter, int]]) -> Counter[Meter]:
    totals = Counter[Meter]()
    for each in amounts.values():
        totals.update(each)
    return totals


def _of_kind(rejected: Mapping[str, tuple[Meter, ...]], *, dedicated: bool) -> dict[str, tuple[str, ...]]:
    found = {
        team: tuple(model for model, own in meters if own is dedicated) for team, meters in rejected.items()
    }
    return {team: models for team, models in found.items() if models}


def _grows(wanted: Mapping[Meter, int], before: Mapping[Meter, int]) -> bool:
    return any(amount > before.get(meter, 0) for meter, amount in wanted.items())


def _capacity(model: CatalogModel, limit: int | None, granted_now: Mapping[str, Grants]) -> Capacity:
    """A team that had no bound before the model had a capacity counts with the ceiling of today."""
    bound = None if limit is None else model.max_tokens_per_minute or model.capacity
    shares = {team: grants.get(model.name, 0) for team, grants in sorted(granted_now.items())}
    bounded = {team: bound if tokens is None else tokens for team, tokens in shares.items()}
    return Capacity(
        model.name, model.capacity, limit, {team: tokens for team, tokens in bounded.items() if tokens != 0}
    )


def _workspaces(
    model: str, total: int, granted_now: Mapping[str, Grants], existing: ExistingWorkspaces
) -> Workspaces:
    asked = {team for team, grants in granted_now.items() if grants.get(model) == 0}
    return Workspaces(model, total, tuple(sorted(asked | existing.get(model, frozenset()))))


def over_allocated(allocation: Allocation) -> Iterator[Capacity | Workspaces]:
    """The models of which more is in force than may be granted: their capacity, or the total, was lowered."""
    both: list[Capacity | Workspaces] = [*allocation.capacities.values(), *allocation.workspaces.values()]
    return (each for each in both if each.left is not None and each.left < 0)
