"""Fetch a team's key as a member of its Entra group does, and call a model with it, while `make up` runs:

.venv/bin/python -m standins.demo.call TEAM MODEL
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from standins.demo.servers import Callers

#: What `make up` writes about what runs, beside its state.
ADDRESSES = "addresses.json"
_GROUP = re.compile(r"entraGroup[\"']?\s*:\s*[\"']?([0-9a-fA-F-]{36})")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standins.demo.call", description=__doc__)
    parser.add_argument("team")
    parser.add_argument("model")
    parser.add_argument("--state", type=Path, default=Path(".local/up"), metavar="FOLDER", help="of make up")
    options = parser.parse_args()
    running = options.state / ADDRESSES
    if not running.exists():
        return _say(f"nothing runs in {options.state}: start it with make up, in another terminal")
    group = _group_of(options.state / "model-access", options.team)
    if group is None:
        return _say(
            f"no request of {options.team} in the clone names an entraGroup, so nobody reads its keys"
        )
    known = json.loads(running.read_text())
    callers, secret = Callers(known["addresses"], known["ca"]), f"{options.team}-primary-key"
    if not callers.may_fetch(secret, group):
        return _say(f"the vault has no {secret} that group {group} may read (yet)")
    print(f"{secret}: fetched as a member of the group {group}")
    print(f"{options.model} at {known['addresses']['gateway']}: ", end="")
    print(callers.chat(callers.fetch(secret, group), options.model))
    return 0


def _group_of(clone: Path, team: str) -> str | None:
    """The group in the team's request, in any of its folders."""
    for path in sorted(clone.glob(f"*/**/{team}/access.yaml")) + sorted(
        clone.glob(f"*/**/team-{team}/access.yaml")
    ):
        found = _GROUP.search(path.read_text())
        if found is not None:
            return found.group(1).lower()
    return None


def _say(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
