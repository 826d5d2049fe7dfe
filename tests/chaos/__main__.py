"""`python -m tests.chaos`: every kind of chaos, one after the other, and what came of it as a table.

The exit code is 0 when all was well.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.judgement import Verdict, judge
from tests.chaos.platform import platform
from tests.chaos.scenarios import SCENARIOS


@dataclass(frozen=True)
class Row:
    """One scenario: what struck, what travelled, what came of it, how long it took in seconds."""

    name: str
    struck: int
    messages: int
    verdict: Verdict
    seconds: float


def main() -> int:
    options = _options()
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mergekey-chaos-"))
    rows = [_run(name, folder / name, options.seed) for name in options.only or SCENARIOS]
    _print(rows)
    failed = any(row.verdict.findings for row in rows)
    if failed:
        print(f"seed {options.seed}; logs and state: {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what people do, and where faults strike")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="these scenarios")
    return parser.parse_args()


def _run(name: str, folder: Path, seed: int) -> Row:
    started = time.monotonic()
    struck = messages = 0
    try:
        with platform(folder, seed) as place:
            SCENARIOS[name](place)
            verdict = judge(place)
            struck, messages = place.struck, place.messages
    except Exception as error:  # whatever breaks off a scenario is its result; the others go on
        traceback.print_exc()
        verdict = Verdict([f"{type(error).__name__}: {error}"], set(), 0)
    row = Row(name, struck, messages, verdict, time.monotonic() - started)
    print("\n  ".join([f"{name}: {row.seconds:.0f} s", *verdict.findings]), flush=True)
    return row


def _print(rows: list[Row]) -> None:
    table = Table("scenario", "faults struck", "messages", "dead letters", "left to the sweep", "seconds", "result")
    for row in rows:
        count = len(row.verdict.findings)
        counts = (row.struck, row.messages, row.verdict.letters, len(row.verdict.repaired), round(row.seconds))
        table.add_row(row.name, *(f"{number:,}" for number in counts), f"{count} findings" if count else "state equals branch")
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
