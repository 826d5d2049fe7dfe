"""Run one set of stand-ins: `python -m standins.run --folder FOLDER --entities infra/service-bus.json`.

Prints one line of JSON when every server listens: the addresses, the authority to trust, and where the
control interface is. State, certificates and ports are kept in the folder, so that a restart finds everything
where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
import ssl
import sys
from collections import deque
from pathlib import Path

import trustme
from aiohttp import web

from standins import control, orphans, ports, snapshots
from standins.faults import PROFILES
from standins.world import World

#: Servers in the order in which they start: name, module with `build(world)`, scheme.
SERVERS = (
    ("identity", "standins.identity", "http"),
    ("resource-manager", "standins.resource_manager", "https"),
    ("key-vault", "standins.key_vault", "https"),
    ("kubernetes", "standins.kubernetes", "https"),
    ("github", "standins.github", "http"),
    ("models", "standins.models", "http"),
    ("ingress", "standins.ingress", "http"),
    ("gateway", "standins.gateway", "https"),
)
BUS = ("service-bus", "standins.service_bus")
#: Exchanges that are kept for whoever asks for them; the older ones are forgotten.
_EXCHANGES = 20_000
#: Seconds that answers which are on their way get when the servers stop.
_LAST_WORDS = 0.1


def main() -> None:
    options = _options()
    orphans.end_with_parent(options)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="where state, certificates and ports are kept"
    )
    parser.add_argument(
        "--entities",
        type=Path,
        default=Path("infra/service-bus.json"),
        help="queues and topics of the Service Bus stand-in",
    )
    parser.add_argument(
        "--only", nargs="*", help="start these servers only, for instance: identity key-vault"
    )
    parser.add_argument("--latency", choices=PROFILES, default="azure", help="how slow the services are")
    parser.add_argument(
        "--control", action="store_true", help="open the control interface (standins/control.py), on loopback"
    )
    parser.add_argument(
        "--exchanges", action="store_true", help="keep whole requests and answers for the control interface"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="SERVER.NAME=JSON",
        help="how a server behaves from its start, for instance kubernetes.not_served='[\"kaito.sh\"]'",
    )
    orphans.add_option(parser)
    return parser.parse_args()


async def run(options: argparse.Namespace) -> None:
    """Start, say so, and serve until told to stop (SIGTERM or SIGINT)."""
    options.folder.mkdir(parents=True, exist_ok=True)
    world = World(options.folder, exchanges=deque(maxlen=_EXCHANGES) if options.exchanges else None)
    world.trouble.use_profile(options.latency)
    wanted = _wanted(options)
    sockets = _listen(options.folder, [*wanted, *(["control"] if options.control else [])])
    world.addresses.update({name: _address(name, sockets[name]) for name in wanted})
    context, ends = _certificate(options.folder), contextlib.AsyncExitStack()
    for name, module, scheme in SERVERS:
        if name in wanted:
            app = importlib.import_module(module).build(world)
            await _serve(ends, app, sockets[name], context if scheme == "https" else None)
    if BUS[0] in wanted:
        await importlib.import_module(BUS[1]).serve(
            world, sockets[BUS[0]], json.loads(options.entities.read_text())
        )
    for wish in options.option:
        name, _, value = wish.partition("=")
        server, _, name = name.partition(".")
        world.options[server].change({name: json.loads(value)})
    ended = _Ended(options.folder)
    if options.control:
        await _serve(ends, control.build(world, ended.start_again), sockets["control"], None)
    ready = {
        "control": _address("control", sockets["control"]) if options.control else None,
        "addresses": world.addresses,
        "ca": str(options.folder / "ca.pem"),
    }
    print(json.dumps(ready), flush=True)
    await ended.wait()
    await ends.aclose()


def _wanted(options: argparse.Namespace) -> list[str]:
    """The names of the servers to start."""
    names = [*(name for name, _, _ in SERVERS), BUS[0]]
    return [name for name in names if options.only is None or name in options.only]


def _address(name: str, listener: socket.socket) -> str:
    port = ports.number(listener)
    if name == "control":
        return f"http://127.0.0.1:{port}"
    schemes = {name: scheme for name, _, scheme in SERVERS}
    return f"{schemes[name]}://localhost:{port}" if name in schemes else f"127.0.0.1:{port}"


class _Ended:
    """The end of this run: by a signal, or because another state was asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._event = asyncio.Event()
        self._again = False
        self._snapshot: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._event.set)

    def start_again(self, snapshot: str | None) -> None:
        self._again, self._snapshot = True, snapshot
        # The answer to whoever asked must leave first.
        asyncio.get_running_loop().call_later(0.05, self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
        if self._again:
            # Nothing else runs between these two lines, and every socket closes with the second: no server
            # sees half a state.
            snapshots.bring_back(self._folder, self._snapshot)
            os.execv(sys.executable, [sys.executable, "-m", "standins.run", *sys.argv[1:]])


def _listen(folder: Path, names: list[str]) -> dict[str, socket.socket]:
    """A listening socket per server: on the port of the last run if it is free, else on any."""
    path = folder / "ports.json"
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    sockets = {}
    for name in names:
        sockets[name] = ports.listen(known.get(name))
        sockets[name].listen(256)
        sockets[name].setblocking(False)
        known[name] = ports.number(sockets[name])
    path.write_text(json.dumps(known))
    return sockets


def _certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost by an authority of our own; `ca.pem` is what clients must trust."""
    authority, server = folder / "ca.pem", folder / "server.pem"
    if not (authority.exists() and server.exists()):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(server))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server)
    return context


async def _serve(
    ends: contextlib.AsyncExitStack,
    app: web.Application,
    listener: socket.socket,
    context: ssl.SSLContext | None,
) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_WORDS)
    await runner.setup()
    ends.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, ssl_context=context).start()


if __name__ == "__main__":
    main()
