"""How much may end at once. A folder deleted by mistake, or a year that is misspelt in every file, must not
cost anybody their key.

Counted are the teams whose cell of the table of states (`shared.branch.states`) ends in a question mark, and
those in their grace period already: too many are more than a quarter of all teams; below twelve teams more
than one; or all of them. Then nothing of it happens. A person who means it names the teams in a trailer of a
commit on the branch:

    Allow-Withdrawals: alpha, bravo

It counts for the access that a team had then: the commit comes after the one that the product's marker names.
Who is held stays so, whatever happens to the others: the product says it, until its file is back, a person
allows it, or the last day of its access is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Literal

#: From this many teams on a share decides; below it one team may go at a time.
SHARE_FROM = 12
SHARE = 4

#: What ends a team's access: its file is gone, or what is left of it is no request; a last day that is new;
#: one that was brought forward.
Why = Literal["gone", "junk", "new_end", "shortened"]

_KEY = "allow-withdrawals:"
#: https://git-scm.com/docs/git-interpret-trailers
_TRAILER = re.compile(r"[A-Za-z0-9-]+:\s.*|\s+\S.*")


@dataclass(frozen=True, slots=True, order=True)
class MissingTeam:
    """A team that has objects of ours and whose access would end. `commit` is its marker's, empty where
    nothing says one; `why` as above.

    `marked`: there is a product with our marker. `withdrawn` whether its grace period has begun, `held`
    whether its product says that it is held, `over` whether the last day of what was granted is over.
    """

    team: str
    path: str
    commit: str
    withdrawn: bool
    held: bool = False
    over: bool = False
    marked: bool = False
    why: Why = "gone"

    @property
    def counts(self) -> bool:
        """Not when its access ended by its date, nor when it was withdrawn and its product is deleted: it is
        nobody's access any more.
        """
        return not self.over and not (self.withdrawn and not self.marked)


@dataclass(frozen=True, slots=True)
class MissingTeams:
    """The teams whose access would end. `held` keep it until a person allows it; the others may go."""

    gone: tuple[MissingTeam, ...] = ()
    teams: int = 0
    held: tuple[MissingTeam, ...] = ()

    @property
    def let_go(self) -> tuple[MissingTeam, ...]:
        return tuple(each for each in self.gone if each not in self.held)

    def holds(self, team: str) -> bool:
        """Whether the team keeps its access."""
        return any(each.team == team for each in self.held)

    @property
    def allowance(self) -> str:
        """The trailer that would allow it."""
        return f"Allow-Withdrawals: {', '.join(each.team for each in self.held)}"

    def explain(self) -> str:
        names = ", ".join(each.team for each in self.held)
        waiting = sum(each.withdrawn and each.counts for each in self.gone)
        also = f", {waiting} more in their grace period" if waiting else ""
        return (
            f"Withdrawals held: {len(self.held)} of {self.teams} teams would lose their access "
            f"({names}{also}). Nothing was withdrawn. If it is meant, push a commit whose message ends with "
            f"the line\n\n    {self.allowance}\n\nelse bring the files back."
        )


def withhold(
    present: Iterable[str], gone: Iterable[MissingTeam], allowed: Set[str] = frozenset()
) -> MissingTeams:
    """What may go. `present` are the teams with a request, `allowed` those that a person has named."""
    absent = tuple(sorted(gone))
    counted = [each.team for each in absent if each.counts]
    teams = len({*present, *counted})
    many = _too_many(len(counted), teams)
    held = (each for each in absent if each.counts and not each.withdrawn and (many or each.held))
    return MissingTeams(absent, teams, tuple(each for each in held if each.team not in allowed))


def teams_allowed(message: str) -> frozenset[str]:
    """The teams that the message of a commit names. Merges and squashes put messages together, so every block
    of trailers counts.
    """
    blocks = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    lines = [line for block in blocks if _is_trailers(block) for line in block.splitlines()]
    values = (line.partition(":")[2] for line in lines if line.casefold().startswith(_KEY))
    return frozenset(name for value in values for name in re.split(r"[,\s]+", value) if name)


def _is_trailers(block: str) -> bool:
    return all(_TRAILER.fullmatch(line) for line in block.splitlines())


def _too_many(absent: int, teams: int) -> bool:
    if absent == teams:
        return absent > 0
    return absent * SHARE > teams if teams >= SHARE_FROM else absent > 1
