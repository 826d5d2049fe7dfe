"""Servers end with the process that started them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from standins.control import Control
from standins.stack import wait_until
from standins.tests.plugin import ROOT

STARTS_EVERYTHING = """
import json, sys, time
from pathlib import Path
from standins.stack import Stack
with Stack(Path(sys.argv[1]), Path.cwd()) as stack:
    addresses = [*stack.addresses.values(), stack.host_url, stack.control_url]
    print(json.dumps({"addresses": addresses, "control": stack.control_url}), flush=True)
    sys.stdin.read()
"""


def test_stand_ins_and_host_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    """Stand-ins that had begun anew meanwhile too."""
    command = [sys.executable, "-c", STARTS_EVERYTHING, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        told = json.loads(parent.stdout.readline())
        Control(told["control"]).reset()
        assert all(map(_listens, told["addresses"]))
        parent.kill()
    wait_until("every server is gone", lambda: not any(map(_listens, told["addresses"])))


def test_a_server_ends_in_order_although_whoever_started_it_had_blocked_the_signal(tmp_path: Path) -> None:
    """Else it is gone after half a minute, with another status."""
    command = [
        sys.executable,
        "-m",
        "standins.run",
        "--folder",
        str(tmp_path),
        "--only",
        "identity",
        "--with-parent",
    ]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline()
        server.stdin.close()
        assert server.wait() == 0


def _listens(address: str) -> bool:
    place = urlsplit(address if "://" in address else f"amqp://{address}")
    try:
        socket.create_connection((place.hostname, place.port or 0)).close()
    except OSError:
        return False
    return True
