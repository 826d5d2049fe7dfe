"""Start the host: print the functions and, when all is listening, one line of JSON
`{"functions": [names], "url": "http://127.0.0.1:P"}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from standins import orphans
from standins.functions_host.http_trigger import HttpTriggers
from standins.functions_host.index import Function, load
from standins.functions_host.invocation import Invoker
from standins.functions_host.options import HostError, Keys, Options, apply_settings, read_keys, read_options
from standins.functions_host.service_bus_trigger import ServiceBusTriggers
from standins.functions_host.timer_trigger import TimerTriggers

#: Seconds that running functions get when the host is told to stop.
_GRACE = 10.0


@dataclass(frozen=True)
class Host:
    """All that a run of the host needs."""

    functions: list[Function]
    options: Options
    keys: Keys
    invoker: Invoker

    async def serve(self, port: int) -> None:
        """Listen until told to stop (SIGTERM or SIGINT); then accept nothing, let running functions end, and
        close the clients.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        bus = ServiceBusTriggers(self.functions, self.invoker, self.options)
        timers = TimerTriggers(self.functions, self.invoker)
        app = HttpTriggers(self.functions, self.invoker, self.keys, self.options.route_prefix).build()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        bus.start()
        timers.start()
        self._say_ready(runner.addresses[0][1])
        await stop.wait()
        await asyncio.gather(bus.stop(_GRACE), timers.stop(_GRACE), runner.cleanup())

    def _say_ready(self, port: int) -> None:
        for function in self.functions:
            print(function)
        print(
            json.dumps(
                {
                    "functions": [function.name for function in self.functions],
                    "url": f"http://127.0.0.1:{port}",
                }
            ),
            flush=True,
        )


def main() -> int:
    options = _arguments()
    orphans.end_with_parent(options)
    app_dir = options.app_dir.resolve()
    logging.basicConfig(
        level=options.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    if options.log_level != "DEBUG":
        logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        asyncio.run(_prepare(app_dir, options).serve(options.port))
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m standins.functions_host", description=__doc__)
    parser.add_argument("app_dir", type=Path, help="the folder with function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="0 for any free port")
    parser.add_argument(
        "--settings",
        type=Path,
        help="a file like local.settings.json; `Keys: {master, default}` may stand beside `Values`",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        help="where generated keys are kept (default: APP_DIR/.local/functions-keys.json)",
    )
    parser.add_argument(
        "--invocations", type=Path, help="append one line of JSON per call of a function to this file"
    )
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING"),
        help="DEBUG: of every library, too",
    )
    orphans.add_option(parser)
    return parser.parse_args()


def _prepare(app_dir: Path, options: argparse.Namespace) -> Host:
    settings = apply_settings(options.settings)
    host = read_options(app_dir)
    keys = read_keys(settings, options.keys or app_dir / ".local" / "functions-keys.json")
    try:
        functions = load(app_dir)
    except HostError:
        raise
    # whatever the app raises while it is imported is for the person who started it
    except Exception as error:
        raise HostError(f"the app cannot be imported: {type(error).__name__}: {error}") from error
    return Host(functions, host, keys, Invoker(host.function_timeout, options.invocations))


if __name__ == "__main__":
    sys.exit(main())
