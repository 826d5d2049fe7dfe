"""The withdrawal guard. It limits how many teams may lose their access at once, so that a folder deleted by
mistake, or a wrong year in every file, costs no team its keys.

The guard counts the teams whose cell of the table of states (`shared.branch.states`) ends in a question mark,
and those in their grace period. More than a quarter of all teams are too many; with fewer than twelve teams,
more than one; or all of them. Then none of them is withdrawn. A person who means it approves by a trailer in
a commit on the branch, which names the teams:

    Allow-Withdrawals: alpha, bravo

The approval counts for the access at that time: the commit must not be older than the one in the product's
marker. A team that is held stays held, independently of the others, because its product is marked; until its
file is back, a person approves, or the last day of its access is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Literal

#: From this many teams on, a quarter (1 / `SHARE`) may be withdrawn at once; with fewer teams, one.
SHARE_FROM = 12
SHARE = 4

#: The reason for which a team's access ends: its file was removed, its files are not requests, it has a new
#: last day that has passed, or its last day was brought forward.
Cause = Literal["gone", "no_request", "new_end", "shortened"]

_KEY = "allow-withdrawals:"
#: https://git-scm.com/docs/git-interpret-trailers
_TRAILER = re.compile(r"[A-Za-z0-9-]+:\s.*|\s+\S.*")


@dataclass(frozen=True, slots=True, order=True)
class MissingTeam:
    """A team that has objects of ours and whose access would end. `commit` is that of its marker, empty if
    unknown.

    `marked`: there is a product with our marker. `withdrawn`: its grace period has begun. `held`: its product
    is marked as held. `over`: the last day of the granted access is over.
    """

    team: str
    path: str
    commit: str
    withdrawn: bool
    held: bool = False
    over: bool = False
    marked: bool = False
    cause: Cause = "gone"

    @property
    def counts(self) -> bool:
        """Whether the guard counts the team: not if its access ended by its last day, nor if it was withdrawn
        and its product is deleted.
        """
        return not self.over and not (self.withdrawn and not self.marked)


@dataclass(frozen=True, slots=True)
class MissingTeams:
    """The teams whose access would end, out of `teams` in total. Those in `held` keep it until a person
    approves; the others may be withdrawn.
    """

    missing: tuple[MissingTeam, ...] = ()
    teams: int = 0
    held: tuple[MissingTeam, ...] = ()

    @property
    def releasable(self) -> tuple[MissingTeam, ...]:
        return tuple(each for each in self.missing if each not in self.held)

    def holds(self, team: str) -> bool:
        """Whether the guard holds the team."""
        return any(each.team == team for each in self.held)

    @property
    def approval(self) -> str:
        """The trailer by which a person approves the withdrawals."""
        return f"Allow-Withdrawals: {', '.join(each.team for each in self.held)}"

    def explain(self) -> str:
        names = ", ".join(each.team for each in self.held)
        waiting = sum(each.withdrawn and each.counts for each in self.missing)
        also = f", {waiting} more in their grace period" if waiting else ""
        return (
            f"Withdrawals held: {len(self.held)} of {self.teams} teams would lose their access "
            f"({names}{also}). Nothing was withdrawn. If this is intended, push a commit whose message ends "
            f"with the line\n\n    {self.approval}\n\nOtherwise bring the files back."
        )


def withhold(
    present: Iterable[str], ending: Iterable[MissingTeam], approved: Set[str] = frozenset()
) -> MissingTeams:
    """The guard's decision. `present` are the teams with a request, `approved` those that a person named."""
    missing = tuple(sorted(ending))
    counted = [each.team for each in missing if each.counts]
    teams = len({*present, *counted})
    too_many = _is_too_many(len(counted), teams)
    held = (each for each in missing if each.counts and not each.withdrawn and (too_many or each.held))
    return MissingTeams(missing, teams, tuple(each for each in held if each.team not in approved))


def approved_teams(message: str) -> frozenset[str]:
    """The teams that a commit's message approves. Merges and squashes join messages, so every block of
    trailers is read, not only the last one.
    """
    blocks = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    lines = [line for block in blocks if _is_trailers(block) for line in block.splitlines()]
    values = (line.partition(":")[2] for line in lines if line.casefold().startswith(_KEY))
    return frozenset(name for value in values for name in re.split(r"[,\s]+", value) if name)


def _is_trailers(block: str) -> bool:
    return all(_TRAILER.fullmatch(line) for line in block.splitlines())


def _is_too_many(missing: int, teams: int) -> bool:
    if missing == teams:
        return missing > 0
    return missing * SHARE > teams if teams >= SHARE_FROM else missing > 1
