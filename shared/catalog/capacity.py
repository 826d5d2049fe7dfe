"""How much of each model is granted to whom, and which requests ask for more than there is.

A model's `capacity` times the catalogue's over-commitment may be granted in sum. What is in force counts for
every team, whether it has a request or not, and is never rejected as long as it does not grow: it comes
first, unchanged. Then come the teams that grow, by name; then the newcomers, by name; each is admitted as a
whole while it fits. So the outcome depends on what is asked for and what is in force, not on the order of the
messages, and an admitted team stays admitted while the others' access is being written. What a growing
request gives back of another model is free when that is done. A model without a capacity is listed too, and
never rejects a request. The dedicated workspaces of a model are granted by the same rule, one by one; an
existing workspace counts until it is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from math import floor

from shared.catalog.catalog import Catalog, CatalogModel
from shared.documents.problem import quote

#: Tokens per minute of a model's shared backends, by model: None for no bound, 0 for nothing of them, but a
#: dedicated workspace.
Grants = Mapping[str, int | None]

#: By model, the teams in whose namespace a workspace for it is there.
ExistingWorkspaces = Mapping[str, Set[str]]

#: What is counted: tokens per minute of a model, or (True) its dedicated workspaces.
Meter = tuple[str, bool]

#: Teams that are named in one message.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Capacity:
    """One model: what its backends can do and what may be granted in sum, in tokens per minute, and who has
    how much of it.

    Both are None where nobody said; `granted` has None for a team without a bound, which only such a model
    can have.
    """

    model: str
    capacity: int | None
    limit: int | None
    granted: Mapping[str, int | None]

    @property
    def total(self) -> int:
        """What is granted in sum to the teams with a bound."""
        return sum(tokens or 0 for tokens in self.granted.values())

    @property
    def unlimited(self) -> int:
        """How many teams have no bound."""
        return sum(tokens is None for tokens in self.granted.values())

    @property
    def left(self) -> int | None:
        """What may still be granted; below 0 where the capacity was lowered below what is in force."""
        return None if self.limit is None else self.limit - self.total

    def explain(self) -> str:
        """Who has how much, the largest first, of a model with a capacity."""
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
        holders = ", ".join([*shown, *more]) or "nobody has any"
        return (
            f"{quote(self.model)} has {self.limit:,} tokens per minute for all teams: {holders}; "
            f"{max(self.left, 0):,} are left"
        )


@dataclass(frozen=True, slots=True)
class Workspaces:
    """One model: how many dedicated workspaces all teams together may have, and who has one, by name."""

    model: str
    total: int
    teams: tuple[str, ...]

    @property
    def left(self) -> int:
        """How many there may still be; below 0 where the total was lowered below what is in force."""
        return self.total - len(self.teams)

    def explain(self) -> str:
        """Who has one."""
        more = [f"{len(self.teams) - _NAMED} more teams"] if len(self.teams) > _NAMED else []
        holders = ", ".join([*self.teams[:_NAMED], *more]) or "nobody has one"
        return (
            f"All teams together may have {self.total} dedicated {quote(self.model)}: {holders}; "
            f"{max(self.left, 0)} are left"
        )


@dataclass(frozen=True, slots=True)
class Allocation:
    """The ledgers by model, and for each team that is rejected the models of which it asks too much: tokens,
    or one workspace too many.
    """

    capacities: Mapping[str, Capacity]
    rejected: Mapping[str, tuple[str, ...]]
    workspaces: Mapping[str, Workspaces]
    rejected_workspaces: Mapping[str, tuple[str, ...]]


def allocate(
    catalog: Catalog,
    asked: Mapping[str, Grants],
    in_force: Mapping[str, Grants],
    standing: ExistingWorkspaces | None = None,
    holding: Set[str] = frozenset(),
) -> Allocation:
    """What teams ask for, and what is in force, both by team: a team that asks for nothing keeps what it
    has. What the teams `holding` give back stays taken, because it may be held.
    """
    limits, standing = limits_of(catalog), standing or {}
    teams = {*asked, *in_force, *(team for there in standing.values() for team in there)}
    before = _usage(catalog, {team: in_force.get(team, {}) for team in teams}, standing)
    wanted = _usage(catalog, asked, standing)
    rejected = _rejected(wanted, before, limits, has_access=in_force.keys(), holding=holding)
    granted_now = {**in_force, **{team: grants for team, grants in asked.items() if team not in rejected}}
    return Allocation(
        capacities={
            model.name: _capacity(model, limits.get((model.name, False)), granted_now)
            for model in catalog.models
        },
        rejected=_of_kind(rejected, dedicated=False),
        workspaces={
            model: _workspaces(model, total, granted_now, standing)
            for (model, dedicated), total in limits.items()
            if dedicated
        },
        rejected_workspaces=_of_kind(rejected, dedicated=True),
    )


def _usage(
    catalog: Catalog, grants: Mapping[str, Grants], standing: ExistingWorkspaces
) -> dict[str, dict[Meter, int]]:
    """By team, what its grants and its workspaces take of everything that is bounded."""
    return {
        team: _with_standing(metered(catalog, granted), team, standing) for team, granted in grants.items()
    }


def _rejected(
    wanted: Mapping[str, Mapping[Meter, int]],
    before: Mapping[str, Mapping[Meter, int]],
    limits: Mapping[Meter, int],
    *,
    has_access: Set[str],
    holding: Set[str],
) -> dict[str, tuple[Meter, ...]]:
    """By team, what has no room for it. Teams are admitted one after the other, each as a whole: those that
    do not grow, those that have access, newcomers.
    """
    totals, rejected = _sum(before), dict[str, tuple[Meter, ...]]()
    grows = {team: _grows(amounts, before[team]) for team, amounts in wanted.items()}
    for team in sorted(wanted, key=lambda team: (grows[team], team not in has_access, team)):
        step = {meter: wanted[team].get(meter, 0) - before[team].get(meter, 0) for meter in limits}
        beyond = _beyond(step, totals, limits)
        if beyond:
            rejected[team] = beyond
        else:
            # What a growing team gives back is free only when that is done; what may be held is not free.
            totals.update(+Counter(step) if grows[team] or team in holding else step)
    return rejected


def _beyond(
    step: Mapping[Meter, int], totals: Mapping[Meter, int], limits: Mapping[Meter, int]
) -> tuple[Meter, ...]:
    return tuple(
        meter for meter, limit in limits.items() if step[meter] > 0 and totals[meter] + step[meter] > limit
    )


def limits_of(catalog: Catalog) -> dict[Meter, int]:
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
    """What of that the grants take. Without a bound, from before the model had a capacity, they take what a
    team may have now.
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
    """What one team may have of a model in a minute; of one without a ceiling, all that there is."""
    found = catalog.model(model)
    return 0 if found is None else found.max_tokens_per_minute or found.capacity or 0


def _with_standing(amounts: dict[Meter, int], team: str, standing: ExistingWorkspaces) -> dict[Meter, int]:
    """A workspace that is there has its GPU, whatever is asked for."""
    return amounts | {(model, True): 1 for model, teams in standing.items() if team in teams}


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
    """Whoever had no bound before the model had a capacity counts with the ceiling of today."""
    bound = None if limit is None else model.max_tokens_per_minute or model.capacity
    shares = {team: grants.get(model.name, 0) for team, grants in sorted(granted_now.items())}
    bounded = {team: bound if tokens is None else tokens for team, tokens in shares.items()}
    return Capacity(
        model.name, model.capacity, limit, {team: tokens for team, tokens in bounded.items() if tokens != 0}
    )


def _workspaces(
    model: str, total: int, granted_now: Mapping[str, Grants], standing: ExistingWorkspaces
) -> Workspaces:
    asked = {team for team, grants in granted_now.items() if grants.get(model) == 0}
    return Workspaces(model, total, tuple(sorted(asked | standing.get(model, frozenset()))))


def over_allocated(books: Allocation) -> Iterator[Capacity | Workspaces]:
    """The models of which more is in force than may be granted: their capacity, or the total, was lowered."""
    both: list[Capacity | Workspaces] = [*books.capacities.values(), *books.workspaces.values()]
    return (each for each in both if each.left is not None and each.left < 0)
