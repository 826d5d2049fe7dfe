"""How much of each model is granted to whom, and which requests ask for more than there is.

A model's `capacity` times the catalogue's over-commitment may be granted in sum. What is in force is never refused as long as it does
not grow: it comes first, as it is. Then those that grow, by name; then the newcomers, by name; each is admitted as a whole while it
fits. So the outcome depends on what is asked for and what is in force, not on who looked first, and who was admitted stays admitted
while the others' access is being written. What a growing request gives back of another model is free when that is done.
A model without a capacity has a ledger too: of that, nobody is refused anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import floor

from shared.domain.catalog import Catalog, CatalogModel
from shared.domain.problem import quote

#: Tokens per minute by model: 0 for nothing of its shared backends, None for no bound.
Grants = Mapping[str, int | None]

#: Teams that are named in one message.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Ledger:
    """One model: what its backends can do and what may be granted in sum, in tokens per minute, and who has how much of it.

    Both are None where nobody said; `granted` has None for a team without a bound, which only such a model can have.
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
        rows = sorted(((team, tokens or 0) for team, tokens in self.granted.items()), key=lambda row: (-row[1], row[0]))
        shown = [f"{team} {tokens:,}" for team, tokens in rows[:_NAMED]]
        more = [f"{len(rows) - _NAMED} more teams {sum(tokens for _, tokens in rows[_NAMED:]):,}"] if len(rows) > _NAMED else []
        holders = ", ".join([*shown, *more]) or "nobody has any"
        return f"{quote(self.model)} has {self.limit:,} tokens per minute for all teams: {holders}; {max(self.left, 0):,} are left"


@dataclass(frozen=True, slots=True)
class Books:
    """The ledgers by model, and for each team that is refused the models of which it asks too much."""

    ledgers: Mapping[str, Ledger]
    refused: Mapping[str, tuple[str, ...]]


def keep_books(catalog: Catalog, asked: Mapping[str, Grants], in_force: Mapping[str, Grants]) -> Books:
    """What every team asks for, and what is in force for those of them that have access, both by team."""
    limits = {model.name: floor(model.capacity * catalog.over_commitment) for model in catalog.models if model.capacity is not None}
    before = {team: _metered(in_force.get(team, {}), limits) for team in asked}
    wanted = {team: _metered(grants, limits) for team, grants in asked.items()}
    totals = Counter[str]()
    for grants in before.values():
        totals.update(grants)
    held, refused = {team: in_force.get(team, {}) for team in asked}, dict[str, tuple[str, ...]]()
    for team in sorted(wanted, key=lambda team: (_grows(wanted[team], before[team]), team not in in_force, team)):
        step = {model: wanted[team].get(model, 0) - before[team].get(model, 0) for model in limits}
        beyond = tuple(model for model in limits if step[model] > 0 and totals[model] + step[model] > limits[model])
        if beyond:
            refused[team] = beyond
        else:
            held[team] = asked[team]
            totals.update(step if not _grows(wanted[team], before[team]) else +Counter(step))
    return Books({model.name: _ledger(model, limits.get(model.name), held) for model in catalog.models}, refused)


def _metered(grants: Grants, limits: Iterable[str]) -> dict[str, int]:
    return {model: tokens for model in limits if (tokens := grants.get(model))}


def _grows(wanted: Mapping[str, int], before: Mapping[str, int]) -> bool:
    return any(tokens > before.get(model, 0) for model, tokens in wanted.items())


def _ledger(model: CatalogModel, limit: int | None, held: Mapping[str, Grants]) -> Ledger:
    """Whoever had no bound before the model had a capacity takes nothing of that until its request counts."""
    nothing = (0,) if limit is None else (0, None)
    shares = {team: grants.get(model.name, 0) for team, grants in sorted(held.items())}
    return Ledger(model.name, model.capacity, limit, {team: tokens for team, tokens in shares.items() if tokens not in nothing})


def overdrawn(books: Books) -> Iterator[Ledger]:
    """The models of which more is in force than may be granted: their capacity was lowered."""
    return (ledger for ledger in books.ledgers.values() if ledger.left is not None and ledger.left < 0)
