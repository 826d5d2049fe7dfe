"""The demo's story. Exit status 0 only if everything it says was seen to be true at the servers."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

APP_DIR = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standins.demo", description=__doc__)
    parser.add_argument(
        "--up", type=Path, metavar="FOLDER", help="keep everything running, with its state in this folder"
    )
    options = parser.parse_args()
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, soft_wrap=not terminal, width=None if terminal else 120)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console.print("Starting the servers and the function app (a quarter of a minute) ...")
    # They take a second to import, and a person should read something by then.
    from standins.demo.story import Story
    from standins.demo.up import keep_up
    from standins.stack import Stack

    try:
        if options.up:
            return keep_up(console, APP_DIR, options.up.resolve())
        with (
            tempfile.TemporaryDirectory(prefix="mergekey-demo-") as folder,
            Stack(Path(folder), APP_DIR, run_options=("--latency", "azure")) as stack,
        ):
            return Story(console, stack, APP_DIR).tell()
    except KeyboardInterrupt:
        console.print("\nstopped")
        return 130
    except (TimeoutError, RuntimeError, OSError) as error:
        console.print(f"[red]{error}[/]")
        return 1


if __name__ == "__main__":
    sys.exit(main())
