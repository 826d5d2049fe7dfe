"""Many seeds on all cores, and what came out of them."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import perf_counter

from tests.simulation.ablation import SAFEGUARDS, without
from tests.simulation.caches import remembered
from tests.simulation.run import Result, simulate

#: Seeds that a worker takes at a time.
CHUNK = 5


_memory = ExitStack()


@dataclass
class Report:
    """`failed` are the results with broken promises."""

    seeds: int = 0
    steps: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.steps += result.steps
        self.counts += result.counts
        if result.violations:
            self.failed.append(result)

    def table(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0
        lines = [
            (
                f"{self.seeds} seeds, {self.steps} steps, {self.seconds:.1f} s, {rate:.1f} seeds/s, "
                f"{len(self.failed)} with broken promises"
            )
        ]
        for kind in ("event", "fault"):
            of_kind = sorted(
                (name.partition(": ")[2], count)
                for name, count in self.counts.items()
                if name.startswith(kind)
            )
            lines.append(
                f"{sum(count for _, count in of_kind)} {kind}s: "
                f"{', '.join(f'{name} {count}' for name, count in of_kind)}"
            )
        return "\n".join(lines)


def run_one(task: tuple[int, str | None]) -> Result:
    """One seed, with one safeguard taken away if it is named."""
    seed, name = task
    safeguard = next((each for each in SAFEGUARDS if each.name == name), None)
    with without(safeguard) if safeguard else nullcontext():
        return simulate(seed)


def _start_worker() -> None:
    """A worker lives for some hundred seeds: it remembers to its end, and what it leaves behind goes with
    it.
    """
    gc.disable()
    _memory.enter_context(remembered())


def _results(seeds: Iterable[int], safeguard: str | None) -> Iterator[Result]:
    tasks = [(seed, safeguard) for seed in seeds]
    with get_context("fork").Pool(os.cpu_count(), _start_worker, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(run_one, tasks, CHUNK)


def run_many(seeds: Iterable[int], safeguard: str | None = None, progress: bool = False) -> Report:
    report, began = Report(), perf_counter()
    for result in _results(seeds, safeguard):
        report.add(result)
        report.seconds = perf_counter() - began
        if progress and result.violations:
            print(f"seed {result.seed}: {result.violations[0]}", file=sys.stderr)
        if progress and report.seeds % 100 == 0:
            print(
                f"{report.seeds} seeds, {len(report.failed)} with broken promises, {report.seconds:.0f} s",
                file=sys.stderr,
            )
    report.failed.sort(key=lambda result: result.seed)
    return report


def ablation_table(seeds: range) -> Iterator[tuple[str, Report]]:
    for safeguard in SAFEGUARDS:
        yield safeguard.name, run_many(seeds, safeguard.name)
