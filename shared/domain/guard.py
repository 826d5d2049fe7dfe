"""How much may be withdrawn at once. A folder deleted by mistake must not cost anybody their key.

Withdrawals are held when too many teams are gone from the branch, counting those that are in their grace period already: more than a
quarter of all teams; below twelve teams more than one; or all of them. Access whose last day is over is not the guard's. A person who
means it says so with a trailer on the commit, which names the number and the digest of exactly the teams that are held:

    Allow-Withdrawals: 5 3f9a1c0b7d2e

Who is held stays so, whatever happens to the others: the product says it, until its file is back, a person gives leave, or the last day of
its access is over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: From this many teams on a share decides; below it one team may go at a time.
SHARE_FROM = 12
SHARE = 4
_TRAILER = re.compile(r"Allow-Withdrawals: (?P<count>\d+) (?P<digest>[0-9a-f]{12})\s*")


@dataclass(frozen=True, slots=True, order=True)
class Gone:
    """A team that has objects of ours and no request. `commit` is its marker's, empty where there is no product that says one;
    `withdrawn` whether its grace period has begun, `held` whether its product says that it is held, `over` whether the last day of what was
    granted is over.
    """

    team: str
    path: str
    commit: str
    withdrawn: bool
    held: bool = False
    over: bool = False

    @property
    def counts(self) -> bool:
        """Not when its access ended by its date, nor when it was withdrawn and its product is deleted: it is nobody's access any more."""
        return not self.over and not (self.withdrawn and not self.commit)


@dataclass(frozen=True, slots=True)
class Absence:
    """The teams that are gone from the branch. `held` keeps their access until a person allows it; the others may go, some of them by
    `leave`: the text whose digest a person has signed.
    """

    gone: tuple[Gone, ...] = ()
    teams: int = 0
    held: tuple[Gone, ...] = ()
    leave: str = ""

    @property
    def let_go(self) -> tuple[Gone, ...]:
        return tuple(each for each in self.gone if each not in self.held)

    @property
    def allowance(self) -> str:
        """The trailer that would allow it."""
        asked = _asked(self.held)
        return f"Allow-Withdrawals: {len(asked)} {_digest(_text(asked))}"

    def explain(self) -> str:
        names = ", ".join(each.team for each in self.held)
        waiting = sum(each.withdrawn and each.counts for each in self.gone)
        also = f", {waiting} more in their grace period" if waiting else ""
        return (
            f"Withdrawals held: {len(self.held)} of {self.teams} teams would lose their access ({names}{also}). Nothing was withdrawn. "
            f"If it is meant, push a commit whose message ends with the line\n\n    {self.allowance}\n\nelse bring the files back."
        )


def judge(present: Iterable[str], gone: Iterable[Gone], message: str) -> Absence:
    """What may go. `present` are the teams with a request, `message` is the message of the commit that is asked for leave."""
    absent = tuple(sorted(gone))
    counted = [each.team for each in absent if each.counts]
    teams = len({*present, *counted})
    many = _too_many(len(counted), teams)
    held = tuple(each for each in absent if each.counts and not each.withdrawn and (many or each.held))
    asked = _asked(held)
    if not asked or not is_leave(_text(asked), message):
        return Absence(absent, teams, held)
    return Absence(absent, teams, tuple(each for each in held if each not in asked), _text(asked))


def is_leave(text: str, message: str) -> bool:
    """Whether the message of a commit gives leave for the teams of this text."""
    return (len(text.splitlines()), _digest(text)) in _trailers(message)


def is_named(team: str, commit: str, text: str) -> bool:
    """Whether leave was given for this team, and for the access that it has now."""
    return f"{team} {commit}" in text.splitlines()


def gives_leave(message: str) -> bool:
    """Whether the message of a commit has the trailer at all."""
    return bool(_trailers(message))


def _too_many(absent: int, teams: int) -> bool:
    if absent == teams:
        return absent > 0
    return absent * SHARE > teams if teams >= SHARE_FROM else absent > 1


def _asked(held: Sequence[Gone]) -> Sequence[Gone]:
    """For whom leave is asked next: who has a product, which everybody sees who looks; then those of whom only something is left."""
    return [each for each in held if each.commit] or held


def _text(gone: Iterable[Gone]) -> str:
    """The teams and the commits that their access comes from: leave that was given once does not count for a team that came back."""
    return "\n".join(f"{each.team} {each.commit}" for each in sorted(gone))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _trailers(message: str) -> set[tuple[int, str]]:
    """Trailers stand in the last paragraph (https://git-scm.com/docs/git-interpret-trailers)."""
    last = message.strip().replace("\r\n", "\n").split("\n\n")[-1]
    found = (_TRAILER.fullmatch(line) for line in last.splitlines())
    return {(int(trailer["count"]), trailer["digest"]) for trailer in found if trailer}
