"""What went over the wire during a test run, compared test by test with the official descriptions."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from standins.control import Control
from standins.stack import ask
from standins.tests.reference.descriptions import ABSENT, PRESENT, REQUIRED
from standins.tests.reference.validator import verdict

#: The marker of a test whose requests are wrong on purpose, though the service accepts them: only their
#: answers are compared.
WRONG_ON_PURPOSE = "wrong_on_purpose"
_SHOWN = 20


@dataclass
class Tally:
    """How much of one server's traffic was compared; `operations` are the kinds of call."""

    operations: set[str] = field(default_factory=set)
    requests: int = 0
    answers: int = 0


class Comparison:
    """Remembers how far it has read each set of stand-ins."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self._read: dict[str, tuple[str, int]] = {}

    def check(self, control: Control, *, wrong_on_purpose: bool = False) -> None:
        """Fail the test that this is called from if an exchange since the last call differs from its
        description.
        """
        if not PRESENT:
            return
        problems = list(self._problems(control, wrong_on_purpose))
        if problems:
            more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
            listed = "\n".join([*problems[:_SHOWN], *more])
            pytest.fail(
                f"not as the official description has it (standins/tests/reference):\n{listed}", pytrace=False
            )

    def report(self) -> dict[str, Any]:
        """By server: the operations compared, and how many requests and answers."""
        return {
            server: {
                "operations": sorted(tally.operations),
                "requests": tally.requests,
                "answers": tally.answers,
            }
            for server, tally in sorted(self.tallies.items())
        }

    def _problems(self, control: Control, wrong_on_purpose: bool) -> Iterator[str]:
        run = ask("GET", f"{control.url}/_standin/clock")["run"]
        known_run, number = self._read.get(control.url, (run, 0))
        # Stand-ins that started again count from one.
        for exchange in control.exchanges(number if known_run == run else 0):
            self._read[control.url] = (run, exchange.number)
            found = verdict(exchange, wrong_on_purpose=wrong_on_purpose)
            if found.request or found.answer:
                tally = self.tallies[exchange.server]
                tally.operations.add(exchange.kind)
                tally.requests += found.request
                tally.answers += found.answer
            yield from map(str, found.problems)


def comparison_of_the_run() -> Iterator[Comparison]:
    """For a fixture of the session. Fails where the descriptions are required and absent; at the end writes
    what was compared to the file that MERGEKEY_CONTRACT_REPORT names.
    """
    if not PRESENT and REQUIRED:
        pytest.fail(ABSENT, pytrace=False)
    comparison = Comparison()
    yield comparison
    if path := os.environ.get("MERGEKEY_CONTRACT_REPORT"):
        Path(path).write_text(json.dumps(comparison.report(), indent=2) + "\n")
