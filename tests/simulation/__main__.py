"""The simulation from the command line.

    .venv/bin/python -m tests.simulation --seed 17        one run; it is the same every time
    .venv/bin/python -m tests.simulation --seeds 10000    many, on all cores
    .venv/bin/python -m tests.simulation --ablation       without each safeguard in turn: promises must break

Ends with 1 when a promise was broken (with `--ablation`: when none was).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter

from tests.simulation.ablation import SAFEGUARDS
from tests.simulation.many import ablation_table, run_many, run_one
from tests.simulation.run import Result

ABLATION_SEEDS = 300
_HASHES = "PYTHONHASHSEED"


def main() -> int:
    given = _arguments()
    if given.seed is not None:
        return _one(given.seed, given.without)
    if given.ablation:
        return _ablation(range(given.first, given.first + (given.seeds or ABLATION_SEEDS)))
    return _many(range(given.first, given.first + (given.seeds or 500)), given.without)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        ".venv/bin/python -m tests.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="run this one and print what happened")
    parser.add_argument("--seeds", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--ablation", action="store_true", help="run them once without each safeguard")
    parser.add_argument(
        "--without", choices=[each.name for each in SAFEGUARDS], help="take this safeguard away"
    )
    return parser.parse_args()


def _one(seed: int, without: str | None) -> int:
    result = run_one((seed, without))
    print(
        _told(result, without)
        if result.violations
        else f"seed {seed}: every promise held, {result.steps} steps, digest {result.digest}"
    )
    return bool(result.violations)


def _many(seeds: range, without: str | None) -> int:
    report = run_many(seeds, without, progress=True)
    for result in report.failed[:5]:
        print(_told(result, without))
    print(report.table())
    broken = [
        (result.seed, str(violation)[:200]) for result in report.failed for violation in result.violations
    ]
    print(f"broken promises: {broken[:20]}")
    return bool(report.failed)


def _ablation(seeds: range) -> int:
    missed = 0
    print(f"{'without':60} seeds of {len(seeds)} with broken promises, by promise")
    for name, report in ablation_table(seeds):
        numbers = Counter(violation.number for result in report.failed for violation in result.violations)
        # 0 is an error of the code: then the safeguard's replacement does not fit, and nothing was counted.
        missed += not report.failed or 0 in numbers
        print(f"{name:60} {len(report.failed):5}  {dict(sorted(numbers.items()))}", flush=True)
    return bool(missed)


def _told(result: Result, without: str | None) -> str:
    lines = [f"seed {result.seed}: {violation}" for violation in result.violations]
    again = f"repeat it: .venv/bin/python -m tests.simulation --seed {result.seed}" + (
        f' --without "{without}"' if without else ""
    )
    return "\n".join(["", *result.trace, *lines, again])


if __name__ == "__main__":
    if os.environ.get(_HASHES) != "0":
        # Sets are walked in another order in every process otherwise, and no seed could be repeated.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, _HASHES: "0"},
        )
    sys.exit(main())
