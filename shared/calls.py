"""How remote systems answered: counted by system, kind of request and outcome, with the budget that was left.

Counting is an addition in memory. Nothing of a request is kept but its kind: no address, no name, no header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["reads", "writes", "deletes"]
#: `absent`: 404, the usual answer to a question for what is not there yet. `throttled`: 429. `refused`: any
#: other 4xx. `failed`: 5xx, or no answer.
Outcome = Literal["ok", "absent", "throttled", "refused", "failed"]

_KINDS: Mapping[str, Kind] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
#: A longer text than this is no number of requests, and Python refuses to read one of some thousand digits.
_MAX_DIGITS = 10


def kind_of(method: str) -> Kind:
    """The kind of an HTTP method, as Azure Resource Manager counts them."""
    return _KINDS.get(method, "writes")


def number_in(text: str) -> int | None:
    """The number in a header; None for anything but a number of a sensible length."""
    return int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else None


def outcome_of(status: int) -> Outcome:
    """The outcome of a call that was answered with this status."""
    if status < 400:
        return "ok"
    if status >= 500:
        return "failed"
    return "absent" if status == 404 else "throttled" if status == 429 else "refused"


@dataclass(slots=True)
class Call:
    """One request; without an answer it has failed."""

    outcome: Outcome = "failed"
    left: int | None = None

    def answered(self, status: int, left: str = "", *, throttled: bool = False) -> None:
        """`left` is the header that says how many requests remain, `throttled` whether another status than
        429 stands for a limit.
        """
        self.outcome = "throttled" if throttled else outcome_of(status)
        self.left = number_in(left)


@dataclass(slots=True)
class _Count:
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    left: int | None = None

    def add(self, call: Call) -> None:
        self.outcomes[call.outcome] += 1
        if call.left is not None:
            self.left = call.left if self.left is None else min(self.left, call.left)

    def row(self, system: str, kind: Kind) -> dict[str, str | int]:
        numbers: dict[str, int] = dict(self.outcomes.items())
        left = {} if self.left is None else {"left": self.left}
        return {"to": system, "kind": kind, **numbers, **left}


#: One for the process: calls that run at the same time share budgets, and each is counted once.
_counts: dict[tuple[str, Kind], _Count] = {}


@contextmanager
def counted(system: str, method: str) -> Iterator[Call]:
    """Count the request that is made inside this block, whichever way the block ends."""
    call = Call()
    try:
        yield call
    finally:
        _counts.setdefault((system, kind_of(method)), _Count()).add(call)


def take() -> list[dict[str, str | int]]:
    """What was counted since this was last asked, and begin anew: rows of `to` (the system), `kind`, the
    number of calls by outcome, and `left`, the least that remained, where the system says it.
    """
    rows = [count.row(system, kind) for (system, kind), count in sorted(_counts.items())]
    _counts.clear()
    return rows
