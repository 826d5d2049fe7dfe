"""`python -m tests.chaos`: every kind of chaos, one after the other, and what came of it as a table.

The exit code is 1 when a promise was broken: then the findings, the state's folder and the command that
repeats it are printed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.judgement import Verdict, judge
from tests.chaos.platform import platform
from tests.chaos.scenarios import ON_A_REAL_CLUSTER, SCENARIOS
from tests.cluster.build import Absent, definitions, program


@dataclass(frozen=True)
class Row:
    """One scenario: the faults by kind, how much was pushed, how many messages travelled, what came of it,
    how long it took in seconds.
    """

    name: str
    struck: Counter[str]
    pushes: int
    messages: int
    verdict: Verdict
    seconds: float


def main() -> int:
    options = _options()
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mergekey-chaos-"))
    rows = [_run(name, folder / name, options.seed) for name in _possible(options.only or SCENARIOS)]
    _print(rows)
    broken = [row.name for row in rows if row.verdict.findings]
    if not broken:
        shutil.rmtree(folder)
        return 0
    print(
        f"logs and state: {folder}",
        *(f"again: python -m tests.chaos --only {name} --seed {options.seed}" for name in broken),
        sep="\n",
    )
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="what people do, and where faults strike"
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="these scenarios")
    return parser.parse_args()


def _possible(names: Iterable[str]) -> Iterator[str]:
    """Those for which everything is here; of the others it is said what is missing."""
    try:
        program(), definitions()
        reason = ""
    except Absent as absent:
        reason = str(absent)
    for name in names:
        if reason and name in ON_A_REAL_CLUSTER:
            print(f"{name}: skipped: {reason}", flush=True)
        else:
            yield name


def _run(name: str, folder: Path, seed: int) -> Row:
    started = time.monotonic()
    struck, pushes, messages = Counter[str](), 0, 0
    try:
        with platform(folder, seed, real=name in ON_A_REAL_CLUSTER) as place:
            SCENARIOS[name](place)
            verdict = judge(place)
            struck, pushes, messages = place.struck, len(place.people.pushes), place.messages
    except Exception as error:  # whatever breaks off a scenario is its result; the others go on
        traceback.print_exc()
        verdict = Verdict([f"{type(error).__name__}: {error}"], set(), Counter())
    row = Row(name, struck, pushes, messages, verdict, time.monotonic() - started)
    print("\n  ".join([f"{name}: {row.seconds:.0f} s", *verdict.findings]), flush=True)
    return row


def _print(rows: list[Row]) -> None:
    table = Table(
        "scenario",
        "faults survived",
        "pushes",
        "messages",
        "dead letters",
        "left to the sweep",
        "seconds",
        "verdict",
    )
    for row in rows:
        count = len(row.verdict.findings)
        numbers = (f"{number:,}" for number in (row.pushes, row.messages))
        rest = (
            str(len(row.verdict.repaired)),
            f"{row.seconds:.0f}",
            f"{count} findings" if count else "state equals branch",
        )
        table.add_row(row.name, _counted(row.struck), *numbers, _counted(row.verdict.letters), *rest)
    Console(width=140).print(table)


def _counted(kinds: Counter[str]) -> str:
    return "\n".join(f"{number:,} {kind}" for kind, number in kinds.most_common()) or "none"


if __name__ == "__main__":
    sys.exit(main())
