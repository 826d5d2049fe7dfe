"""A server ends when the process that started it is gone, killed with SIGKILL too.

The parent keeps the other end of the server's standard input and never writes: however the parent ends, the
system closes that end, on Linux and macOS alike, and the server reads the end of the file. Nothing polls.
What a server starts anew of itself keeps the input.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time

#: Seconds after which a server that was told to end, and did not, is gone all the same.
_PATIENCE = 30.0
_STANDARD_INPUT = 0


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="end when standard input ends, that is with whoever started this",
    )


def end_with_parent(options: argparse.Namespace) -> None:
    """Watch the parent from now on, if the options say so."""
    if options.with_parent:
        # Whoever started this may have blocked the signal, and a blocked one stays so in children.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(_STANDARD_INPUT, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)
