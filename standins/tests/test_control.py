"""The control interface, on a set of stand-ins of its own: identity answers, the rest is what all have in
common.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from standins.control import Control, Refused
from standins.identity import IDENTITY_HEADER
from standins.stack import wait_until
from standins.tests.plugin import ROOT

CONTROLLED = ("--control", "--exchanges", "--latency", "none")


@contextmanager
def running(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    command = [
        sys.executable,
        "-m",
        "standins.run",
        "--folder",
        str(folder),
        "--only",
        "identity",
        "github",
        *options,
    ]
    with subprocess.Popen(
        [*command, "--with-parent"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with running(tmp_path_factory.mktemp("controlled"), *CONTROLLED) as answer:
        yield answer


@pytest.fixture
def control(ready: dict[str, Any]) -> Control:
    control = Control(ready["control"])
    control.forget_faults()
    control.forget_calls()
    return control


def ask_for_token(ready: dict[str, Any], patience: float = 60.0) -> int:
    url = (
        f"{ready['addresses']['identity']}/msi/token?resource=https%3A%2F%2Fvault.azure.net&api-version=2019-"
        "08-01"
    )
    request = urllib.request.Request(url, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER})
    try:
        with urllib.request.urlopen(request, timeout=patience) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_call_is_listed_with_its_time(ready: dict[str, Any], control: Control) -> None:
    assert ask_for_token(ready) == 200
    [call] = control.calls("identity")
    assert (call.status, call.seconds > 0, call.at > 0) == (200, True, True)


def test_a_fault_strikes_as_often_as_ordered(ready: dict[str, Any], control: Control) -> None:
    control.fault("identity", ".*", status=503, count=2)
    assert [ask_for_token(ready) for _ in range(3)] == [503, 503, 200]


def test_a_fault_without_a_count_stays(ready: dict[str, Any], control: Control) -> None:
    control.fault("identity", ".*", status=500, count=None)
    assert {ask_for_token(ready) for _ in range(5)} == {500}


def test_a_seed_repeats_what_happens_by_chance(ready: dict[str, Any], control: Control) -> None:
    control.fault("identity", ".*", status=503, count=None, probability=0.5)
    runs = []
    for _ in range(2):
        control.seed(7)
        runs.append([ask_for_token(ready) for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


def test_a_reset_connection_and_a_timeout_give_no_answer(ready: dict[str, Any], control: Control) -> None:
    control.fault("identity", ".*", status=0)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask_for_token(ready)
    control.fault("identity", ".*", status=0, seconds=1.0)
    with pytest.raises(TimeoutError):
        ask_for_token(ready, patience=0.2)
    wait_until("the call that nobody waits for has ended", lambda: len(control.calls("identity")) == 2)


def test_a_slow_answer_is_still_the_answer(ready: dict[str, Any], control: Control) -> None:
    control.fault("identity", ".*", status=None, seconds=0.3)
    assert ask_for_token(ready) == 200
    assert control.calls("identity")[0].seconds >= 0.3


def test_latency_is_drawn_from_the_profile(ready: dict[str, Any], control: Control) -> None:
    control.seed(7)
    control.use_latency("azure")
    try:
        for _ in range(10):
            ask_for_token(ready)
    finally:
        control.use_latency("none")
    for _ in range(10):
        ask_for_token(ready)
    seconds = [call.seconds for call in control.calls("identity")]
    assert min(seconds[:10]) > min(seconds[10:]), "on a busy machine some of the fast ones are slow too"


def test_exchanges_carry_no_credential(ready: dict[str, Any], control: Control) -> None:
    before = max((exchange.number for exchange in control.exchanges()), default=0)
    ask_for_token(ready)
    [exchange] = control.exchanges(before)
    assert (exchange.method, exchange.status) == ("GET", 200)
    assert IDENTITY_HEADER not in json.dumps(exchange.request_headers)


def test_wrong_orders_are_refused_with_the_reason(control: Control) -> None:
    with pytest.raises(Refused, match="whenever"):
        control.fault("identity", ".*", whenever="before")
    with pytest.raises(Refused, match="before or after"):
        control.fault("identity", ".*", when="during")
    with pytest.raises(Refused, match="azure"):
        control.use_latency("slow")
    with pytest.raises(Refused, match="no snapshot"):
        control.restore("never-taken")
    with pytest.raises(Refused, match="small letters"):
        control.snapshot("..%2F..")


def test_a_snapshot_brings_the_state_and_the_clock_back(ready: dict[str, Any], control: Control) -> None:
    hub = ready["addresses"]["github"]
    put(f"{hub}/_standin/repositories/contoso/kept")
    control.snapshot("one")
    then = control.now()
    put(f"{hub}/_standin/repositories/contoso/later")
    control.advance(3600)
    control.restore("one")
    assert control.now() - then < 60
    assert repositories(ready) == {"kept"}
    control.reset()
    assert repositories(ready) == set()
    assert ask_for_token(ready) == 200


def put(url: str) -> None:
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"}, method="PUT")
    urllib.request.urlopen(request, timeout=120).close()


def repositories(ready: dict[str, Any]) -> set[str]:
    """By their folders: a stand-in keeps real bare repositories."""
    folder = Path(ready["ca"]).parent / "repositories"
    return {path.stem for path in folder.glob("*/*.git")}


def test_without_being_told_so_there_is_no_control_interface(tmp_path: Path) -> None:
    with running(tmp_path, "--latency", "none") as ready:
        assert ready["control"] is None
        with pytest.raises(urllib.error.HTTPError, match="501"):
            urllib.request.urlopen(f"{ready['addresses']['identity']}/_standin/calls", timeout=120)
