"""How many calls a second the gateway stand-in takes on one core, policies, limits and a model's answer
included.

`python -m bench.gateway`; against the local stand-ins, over TLS on loopback. The model servers share the
gateway's process and core; this script has a core of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
from rich.console import Console

from standins.demo.repository import Clone
from standins.demo.servers import Servers
from standins.stack import REPOSITORY, Stack, wait_until

APP_DIR = Path(__file__).resolve().parent.parent
CALLS, CONNECTIONS = 5000, 20
CATALOG = """\
models:
  - {name: gpt-4.1, provider: foundry, endpoint: "https://contoso-ai.openai.azure.com/openai/v1", \
maxTokensPerMinute: 10000000}
"""
REQUEST = """\
team: {name: alpha, owner: lead@contoso.com}
models:
  foundry:
    - {name: gpt-4.1, tokensPerMinute: 1000000}
limits: {tokensPerMinute: 1000000, requestsPerMinute: 100000, dailyTokenQuota: 9000000}
"""


def main() -> None:
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder,
        Stack(Path(folder), APP_DIR) as stack,
    ):
        key = _key(stack)
        stack.stop_host()
        in_all, *each = asyncio.run(_measure(stack, key))
        console.print(f"{CALLS} calls over {CONNECTIONS} connections: {CALLS / in_all:.0f} a second")
        console.print(f"median {statistics.median(each) * 1000:.1f} ms, slowest {max(each) * 1000:.0f} ms")


def _key(stack: Stack) -> str:
    """Push a request for a model; the team's key, when it is there."""
    clone = Clone(stack.git_url, stack.folder / "clone")
    clone.write("platform/config/model_catalog.yaml", CATALOG)
    clone.write("tenant-access/config/alpha/access.yaml", REQUEST)
    commit = clone.push("A team")
    path = f"/repos/{REPOSITORY}/commits/{commit}/statuses?per_page=100"
    wanted = {(f"mergekey/alpha/{stage}", "success") for stage in ("keys", "gateway")}
    wait_until(
        "the key", lambda: wanted <= {(row["context"], row["state"]) for row in stack.github("GET", path)}
    )
    return Servers(stack).keys("alpha")[0]


async def _measure(stack: Stack, key: str) -> list[float]:
    """Seconds in all, then those of each call."""
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "How many calls a second?"}]}
    url, taken = f"{stack.addresses['gateway']}/openai/v1/chat/completions", []
    left = iter(range(CALLS))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=ssl.create_default_context(cafile=stack.ca))
    async with aiohttp.ClientSession(headers={"api-key": key}, connector=connector) as session:

        async def connection() -> None:
            for _ in left:
                started = time.perf_counter()
                async with session.post(url, json=body) as answer:
                    await answer.read()
                    answer.raise_for_status()
                taken.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
        return [time.perf_counter() - started, *taken]


if __name__ == "__main__":
    main()
