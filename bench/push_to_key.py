"""How long from `git push` to the key in the vault, and how many calls a team costs. `make bench`; against
the local stand-ins.

Twice: with stand-ins that answer in about a millisecond, which shows the app's own share; and with the
latency of the services as it was measured or estimated (`standins/faults.py`), which shows the longest chain
of calls.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from standins.demo.repository import Clone
from standins.stack import REPOSITORY, Stack, wait_until

APP_DIR = Path(__file__).resolve().parent.parent
CROWD = 50
#: Teams of one push while Resource Manager counts requests.
THROTTLED = 120
#: Latency profile -> how many single teams are pushed, one after the other.
SINGLES = {"none": 20, "azure": 8}
REQUEST = (
    "team: {{name: {team}, owner: lead@contoso.com}}\nmodels:\n  foundry:\n    - {{name: gpt-4.1, "
    "tokensPerMinute: 1000}}\n"
)


@dataclass(frozen=True)
class Measured:
    """Seconds of each single team, of the last of a crowd; calls for one team by server."""

    alone: list[float]
    crowd: float
    calls: Counter[str]


def main() -> None:
    console = Console(highlight=False)
    found = {profile: _measure(profile) for profile in SINGLES}
    table = Table(
        "what",
        *(f"latency: {profile}" for profile in found),
        title="Seconds from git push to the key in the vault",
    )
    table.add_row("one team, median", *(f"{statistics.median(each.alone):.2f}" for each in found.values()))
    table.add_row("one team, slowest", *(f"{max(each.alone):.2f}" for each in found.values()))
    table.add_row(f"{CROWD} teams in one push, the last", *(f"{each.crowd:.2f}" for each in found.values()))
    console.print(table)
    calls = found["none"].calls
    seconds, refused, made = _throttled()
    console.print(
        f"{THROTTLED} teams in one push, with Resource Manager's limits: {seconds:.0f} s, {refused} of "
        f"{made:,} requests refused (429)"
    )
    console.print("calls for one team:", ", ".join(f"{server} {calls[server]}" for server in sorted(calls)))


def _measure(profile: str) -> Measured:
    with (
        tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder,
        Stack(Path(folder), APP_DIR, run_options=("--latency", profile)) as stack,
    ):
        clone = Clone(stack.git_url, stack.folder / "clone")
        clone.fill(APP_DIR / "examples" / "access-repo")
        _push(stack, clone, ["alpha", "bravo", "charlie"])
        alone = []
        for number in range(SINGLES[profile]):
            stack.control.forget_calls()
            alone.append(_push(stack, clone, [f"single-{number}"]))
        # Not the looking of this script itself.
        calls = Counter(call.server for call in stack.control.calls() if call.kind != "LIST statuses")
        return Measured(alone, _push(stack, clone, [f"crowd-{number}" for number in range(CROWD)]), calls)


def _throttled() -> tuple[float, int, int]:
    """Seconds, refused requests, and all that were made to Resource Manager."""
    with (
        tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder,
        Stack(Path(folder), APP_DIR, run_options=("--latency", "none")) as stack,
    ):
        clone = Clone(stack.git_url, stack.folder / "clone")
        clone.fill(APP_DIR / "examples" / "access-repo")
        _push(stack, clone, ["alpha", "bravo", "charlie"])
        stack.control.set_options("azure", throttling=True)
        stack.control.forget_calls()
        seconds = _push(stack, clone, [f"throttled-{number}" for number in range(THROTTLED)])
        calls = [call for call in stack.control.calls() if call.server == "resource-manager"]
    return seconds, sum(call.status == 429 for call in calls), len(calls)


def _push(stack: Stack, clone: Clone, teams: list[str]) -> float:
    """Push a request per team; seconds until all their keys are reported."""
    for team in teams:
        if team not in ("alpha", "bravo", "charlie"):
            clone.write(f"tenant-access/config/{team}/access.yaml", REQUEST.format(team=team))
    started = time.monotonic()
    commit = clone.push(f"{len(teams)} teams")
    wait_until(f"keys of {len(teams)} teams", lambda: _with_keys(stack, commit) >= set(teams), 600)
    return time.monotonic() - started


def _with_keys(stack: Stack, commit: str) -> set[str]:
    found, page = set(), 1
    while rows := stack.github(
        "GET", f"/repos/{REPOSITORY}/commits/{commit}/statuses?per_page=100&page={page}"
    ):
        found |= {
            row["context"].split("/")[1]
            for row in rows
            if row["context"].endswith("/keys") and row["state"] == "success"
        }
        page += 1
    return found


if __name__ == "__main__":
    main()
