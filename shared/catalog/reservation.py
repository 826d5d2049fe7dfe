"""What each team has and has reserved, and whether what one of them reserves fits beside it.

A team that grows says so first, on its product: a marker without a digest, which names the commit that asks
for it. Then it looks, and only what fits beside everything in force and everything reserved is written. So of
two that reserve at once each sees the other. The one that comes first (who has access before who is new, then
by name) waits for the other, which gives its reservation back: one of them gets it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from shared.catalog.capacity import ExistingWorkspaces, Grants, Meter, limits_of, metered
from shared.catalog.catalog import Catalog

#: `wait`: others who have reserved come after this team and will give way, or have it already.
Room = Literal["yes", "wait", "no"]

_NOTHING: Grants = {}


@dataclass(frozen=True, slots=True)
class Share:
    """`firm` is what the gateway lets a team take, `claimed` what it has reserved while nobody knows whether
    it was written.
    """

    firm: Grants = field(default_factory=dict)
    claimed: Grants = field(default_factory=dict)

    @property
    def whole(self) -> Grants:
        """The larger of both, by model; no bound is the largest."""
        return {
            model: _larger(self.firm, self.claimed, model) for model in self.firm.keys() | self.claimed.keys()
        }


def _larger(one: Grants, other: Grants, model: str) -> int | None:
    if model not in one or model not in other:
        return one.get(model, other.get(model))
    first, second = one[model], other[model]
    return None if first is None or second is None else max(first, second)


@dataclass(frozen=True, slots=True)
class Account:
    """`shares` by team; `standing` are the workspaces that are there, `kept` the teams whose name somebody
    else's product has.
    """

    shares: Mapping[str, Share] = field(default_factory=dict)
    standing: ExistingWorkspaces = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    @property
    def in_force(self) -> dict[str, Grants]:
        return {team: share.whole for team, share in self.shares.items()}

    @property
    def workspaces(self) -> dict[str, Set[str]]:
        """The workspaces that are there, and those of a team that has, or had, the model on one and has
        reserved it otherwise.
        """
        found: dict[str, Set[str]] = dict(self.standing)
        for team, share in self.shares.items():
            for model in share.firm.keys() & share.claimed.keys():
                if 0 in (share.firm[model], share.claimed[model]):
                    found[model] = {*found.get(model, ()), team}
        return found


def growth(catalog: Catalog, wanted: Grants, before: Grants) -> frozenset[Meter]:
    """What is bounded over all teams and of which more is wanted than before."""
    had = metered(catalog, before)
    return frozenset(
        meter for meter, amount in metered(catalog, wanted).items() if amount > had.get(meter, 0)
    )


def room(catalog: Catalog, account: Account, team: str, wanted: Grants, grows: Set[Meter]) -> Room:
    """Whether what a team has reserved fits, as far as it `grows`."""
    limits, amounts = limits_of(catalog), metered(catalog, wanted)
    everybody, sooner = (
        _taken(catalog, account, team, everybody=True),
        _taken(catalog, account, team, everybody=False),
    )
    if all(everybody[meter] + amounts[meter] <= limits[meter] for meter in grows):
        return "yes"
    return "wait" if all(sooner[meter] + amounts[meter] <= limits[meter] for meter in grows) else "no"


def _taken(catalog: Catalog, account: Account, team: str, *, everybody: bool) -> Counter[Meter]:
    """What the others have, and what they have reserved: all of them, or those that come before this team."""
    taken, own = Counter[Meter](), _turn(account, team)
    for other, share in account.shares.items():
        if other != team:
            amounts = metered(catalog, share.firm)
            if everybody or _turn(account, other) < own:
                claimed = metered(catalog, share.claimed)
                amounts |= {meter: max(amount, amounts.get(meter, 0)) for meter, amount in claimed.items()}
            taken.update(amounts | dict.fromkeys(_standing(account, other), 1))
    strangers = (
        {each for teams in account.standing.values() for each in teams} - account.shares.keys() - {team}
    )
    for other in strangers:
        taken.update(_standing(account, other))
    return taken


def _standing(account: Account, team: str) -> list[Meter]:
    return [(model, True) for model, teams in account.standing.items() if team in teams]


def _turn(account: Account, team: str) -> tuple[bool, str]:
    """As the ledger has it: whoever has access comes before whoever is new; then by name."""
    share = account.shares.get(team)
    return share is None or not share.firm, team
