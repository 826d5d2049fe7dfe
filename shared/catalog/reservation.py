"""The capacity that each team has or has reserved, and whether the reservation of one team fits.

A team that grows reserves first: its product gets a marker without a digest, which names the commit that asks
for more. Then all grants and reservations are read, and the new grant is written only if it fits beside them.
So of two teams that reserve at once each sees the other. The team that comes first (teams with access before
new ones, then by name) waits until the other gives its reservation back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from shared.catalog.capacity import (
    Existing,
    ExistingNodes,
    ExistingWorkspaces,
    Grant,
    Grants,
    Meter,
    is_dedicated,
    larger,
    limits_of,
    metered,
)
from shared.catalog.catalog import Catalog

#: `wait`: others who have reserved come after this team and will give way, or have it already.
Room = Literal["yes", "wait", "no"]

_NOTHING: Grants = {}


@dataclass(frozen=True, slots=True)
class Share:
    """`firm` is what the gateway's policy grants a team, `claimed` a reservation of which it is not known
    whether its policy was written.
    """

    firm: Grants = field(default_factory=dict)
    claimed: Grants = field(default_factory=dict)

    @property
    def whole(self) -> Grants:
        """The larger of both, by model; no bound is the largest."""
        return {
            model: _larger(self.firm, self.claimed, model) for model in self.firm.keys() | self.claimed.keys()
        }


def _larger(one: Grants, other: Grants, model: str) -> Grant:
    """Tokens are more than a dedicated workspace, and a known one more than one that is unknown."""
    if model not in one or model not in other:
        return one.get(model, other.get(model))
    return max(one[model], other[model], key=_rank)


def _rank(grant: Grant) -> tuple[int, int, str]:
    if grant is None:
        return 2, 0, ""
    return (0, 0, grant) if isinstance(grant, str) else (int(grant > 0), grant, "")


@dataclass(frozen=True, slots=True)
class Account:
    """`shares` by team; `standing` are the existing workspaces, `nodes` theirs, `kept` the teams whose
    product's name belongs to another owner, or whose product a newer version wrote: they keep what they have,
    whatever they ask for.
    """

    shares: Mapping[str, Share] = field(default_factory=dict)
    standing: ExistingWorkspaces = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    nodes: ExistingNodes = field(default_factory=dict)

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
                if is_dedicated(share.firm[model]) or is_dedicated(share.claimed[model]):
                    found[model] = {*found.get(model, ()), team}
        return found


def growth(catalog: Catalog, wanted: Grants, before: Grants) -> frozenset[Meter]:
    """The bounded quantities of which more is wanted than before."""
    had = metered(catalog, before)
    return frozenset(
        meter for meter, amount in metered(catalog, wanted).items() if amount > had.get(meter, 0)
    )


def room(catalog: Catalog, account: Account, team: str, wanted: Grants, grows: Set[Meter]) -> Room:
    """Whether what a team has reserved fits, as far as it `grows`."""
    limits, amounts = limits_of(catalog), metered(catalog, wanted)
    all_teams, earlier = (
        _taken(catalog, account, team, later_too=True),
        _taken(catalog, account, team, later_too=False),
    )
    if all(all_teams[meter] + amounts[meter] <= limits[meter] for meter in grows):
        return "yes"
    return "wait" if all(earlier[meter] + amounts[meter] <= limits[meter] for meter in grows) else "no"


def _taken(catalog: Catalog, account: Account, team: str, *, later_too: bool) -> Counter[Meter]:
    """The grants of the other teams, and their reservations: of all teams, or of those that come before this
    one.
    """
    taken, own = Counter[Meter](), _turn(account, team)
    there = Existing(catalog, account.standing, account.nodes)
    for other, share in account.shares.items():
        if other != team:
            amounts = metered(catalog, share.firm)
            if later_too or _turn(account, other) < own:
                amounts = larger(amounts, metered(catalog, share.claimed))
            taken.update(larger(amounts, there.of(other)))
    without_share = (
        {each for teams in account.standing.values() for each in teams} - account.shares.keys() - {team}
    )
    for other in without_share:
        taken.update(there.of(other))
    return taken


def _turn(account: Account, team: str) -> tuple[bool, str]:
    """The order of `capacity.allocate`: teams with access before new ones, then by name."""
    share = account.shares.get(team)
    return share is None or not share.firm, team
