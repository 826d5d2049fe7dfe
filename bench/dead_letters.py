"""How long operators wait with 10,000 dead letters, and how much memory it takes:
`python -m bench.dead_letters [count]`, some minutes.

The command as people type it, over the app and the stand-ins, which answer at once. A fifth of the letters is
one group, scattered over all; what is replayed is also handled by the stage meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from cli.main import app
from shared.adapters.service_bus import ServiceBus
from shared.git import blob_id
from shared.messaging.messages import AccessChange, DeadLetter
from shared.messaging.routes import DEAD_LETTERS
from shared.ports import OutgoingMessage
from standins.demo.repository import Clone
from standins.identity import IDENTITY_HEADER
from standins.stack import AUDIENCE, Stack, wait_until

APP_DIR = Path(__file__).resolve().parent.parent
COUNT = 10_000
#: Of five letters, by the reason that they have.
REASONS = ("Rejected", "AccessDenied", "WaitedTooLong", "AccessDenied", "WaitedTooLong")
ORDERS = (
    ("list",),
    ("show", "{last}"),
    ("replay", "--reason", "Rejected", "--up-to", "{last}", "--dry-run"),
    ("replay", "--reason", "Rejected", "--up-to", "{last}", "--yes"),
    ("discard", "--reason", "AccessDenied", "--up-to", "{last}", "--converged", "--why", "measured", "--yes"),
    ("discard", "--reason", "WaitedTooLong", "--up-to", "{last}", "--why", "measured", "--yes"),
)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    table = Table("mergekey dead-letters", "seconds", "host, MB at most", title=f"{count} dead letters")
    with (
        tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder,
        Stack(Path(folder), APP_DIR) as stack,
    ):
        _sign_in(stack)
        clone = Clone(stack.git_url, stack.folder / "clone")
        clone.fill(APP_DIR / "examples" / "access-repo")
        clone.push("a branch")
        asyncio.run(_fill(stack, count))
        wait_until("they are listed", lambda: json.loads(_mergekey("list", "--json"))["letters"])
        for words in ORDERS:
            started = time.perf_counter()
            _mergekey(*(word.format(last=count) for word in words))
            table.add_row(" ".join(words), f"{time.perf_counter() - started:.1f}", str(_peak(stack.host.pid)))
    Console().print(table)


def _sign_in(stack: Stack) -> None:
    os.environ |= {
        "IDENTITY_ENDPOINT": f"{stack.addresses['identity']}/msi/token",
        "IDENTITY_HEADER": IDENTITY_HEADER,
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "AZURE_CLIENT_ID": "olivia.Operator",
        "MERGEKEY_URL": stack.host_url,
        "MERGEKEY_AUDIENCE": AUDIENCE,
    }


async def _fill(stack: Stack, count: int) -> None:
    bus = ServiceBus(stack.settings()["SERVICE_BUS"], None, None)
    await bus.send(list(_letters(count)))
    await bus.close()


def _letters(count: int) -> Iterator[OutgoingMessage]:
    for number in range(count):
        team = f"t{number:05}"
        path, text, root = (
            f"tenant-access/config/{team}/access.yaml",
            f"team: {{name: {team}}}\n" + "# a remark\n" * 100,
            f"d{number}/{team}",
        )
        change = AccessChange(
            change="requested", team=team, path=path, commit="a" * 40, blob=blob_id(text.encode()), text=text
        )
        reason = REASONS[number % len(REASONS)]
        letter = DeadLetter(
            "provision-gateway",
            team,
            reason,
            "the gateway answered 400",
            "the platform",
            1,
            root,
            team,
            root,
            1,
        )
        body = change.encode(root, "/bench", datetime.now(UTC))
        yield OutgoingMessage(
            DEAD_LETTERS, f"{root}/dead-letter/provision-gateway", body, properties=letter.properties()
        )


def _mergekey(*words: str) -> str:
    done = CliRunner().invoke(app, ["dead-letters", *words])
    if done.exit_code:
        raise SystemExit(f"{' '.join(words)}: {done.output}")
    return done.stdout


def _peak(pid: int) -> int:
    """The most memory that the process had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
