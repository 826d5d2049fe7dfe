"""How long from `git push` to the key in the vault, and how many calls a team costs. `make bench`; against the local stand-ins.

The stand-ins answer in about a millisecond, real services in hundreds: what this shows is the app's own share, and the number of calls
on the longest chain.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from standins.demo.repository import Clone
from standins.stack import REPOSITORY, Stack, wait_until

APP_DIR = Path(__file__).resolve().parent.parent
SINGLE, CROWD = 20, 50
REQUEST = "team: {{name: {team}, owner: lead@contoso.com}}\nmodels:\n  foundry:\n    - {{name: gpt-4.1, tokensPerMinute: 1000}}\n"


def main() -> None:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder, Stack(Path(folder), APP_DIR) as stack:
        clone = Clone(stack.git_url, stack.folder / "clone")
        clone.fill(APP_DIR / "examples" / "access-repo")
        _push(stack, clone, ["alpha", "bravo", "charlie"])
        alone = []
        for number in range(SINGLE):
            stack.control.forget_calls()
            alone.append(_push(stack, clone, [f"single-{number}"]))
        # Not the looking of this script itself.
        calls = Counter(call.server for call in stack.control.calls() if call.kind != "LIST statuses")
        crowd = _push(stack, clone, [f"crowd-{number}" for number in range(CROWD)])
    table = Table("what", "seconds", title="From git push to the key in the vault")
    table.add_row(f"one team, median of {SINGLE}", f"{statistics.median(alone):.2f}")
    table.add_row(f"one team, slowest of {SINGLE}", f"{max(alone):.2f}")
    table.add_row(f"{CROWD} teams in one push, the last", f"{crowd:.2f}")
    console.print(table)
    console.print("calls for one team:", ", ".join(f"{server} {calls[server]}" for server in sorted(calls)))


def _push(stack: Stack, clone: Clone, teams: list[str]) -> float:
    """Push a request per team; seconds until all their keys are reported."""
    for team in teams:
        if team not in ("alpha", "bravo", "charlie"):
            clone.write(f"tenant-access/config/{team}/access.yaml", REQUEST.format(team=team))
    started = time.monotonic()
    commit = clone.push(f"{len(teams)} teams")
    wait_until(f"keys of {len(teams)} teams", lambda: _with_keys(stack, commit) >= set(teams), 120)
    return time.monotonic() - started


def _with_keys(stack: Stack, commit: str) -> set[str]:
    found, page = set(), 1
    while rows := stack.github("GET", f"/repos/{REPOSITORY}/commits/{commit}/statuses?per_page=100&page={page}"):
        found |= {row["context"].split("/")[1] for row in rows if row["context"].endswith("/keys") and row["state"] == "success"}
        page += 1
    return found


if __name__ == "__main__":
    main()
