"""The pytest plugin of all tests, these and the app's (`addopts` in pyproject.toml).

One set of stand-ins serves a whole run. Tests share it: each uses names (teams, repositories, vault
secrets) of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from standins.control import Control
from standins.identity import principal
from standins.tests.reference.comparison import WRONG_ON_PURPOSE, Comparison, comparison_of_the_run
from standins.tests.trust import give_certificates

ROOT = Path(__file__).resolve().parents[2]
# All that tests call is on this machine: no proxy is looked for, here and in the processes that are started.
os.environ["NO_PROXY"] = "localhost,127.0.0.1"
#: Whether there is time to try everything, as `make simulate` says.
THOROUGH = os.environ.get("MERGEKEY_THOROUGH") == "1"
# On a busy machine any example may be slow, and none is wrong for it. Every run has the same examples: what
# fails then is the change's fault. Random ones are for runs with time.
_PATIENT = hypothesis.settings(
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    max_examples=25,
    derandomize=True,
)
hypothesis.settings.register_profile("patient", _PATIENT)
hypothesis.settings.register_profile("thorough", _PATIENT, max_examples=500, derandomize=False)
hypothesis.settings.load_profile("thorough" if THOROUGH else "patient")


@dataclass(frozen=True)
class StandIns:
    """A running set: `addresses` by server name, `ca` the file with the certificate authority to trust."""

    control: Control
    addresses: dict[str, str]
    ca: str
    folder: Path


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{WRONG_ON_PURPOSE}: sends requests that no official description allows, and that the service takes",
    )


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for a moment, above all while Azure's SDK opens
    or closes a link.
    """
    return (os.cpu_count() or 1) + 1


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long text is named by its beginning."""
    return f"{val[:50]}..." if isinstance(val, str) and len(val) > 50 else None


@pytest.fixture(scope="session")
def comparison() -> Iterator[Comparison]:
    """Whatever the stand-ins are asked and answer, compared with the vendors' descriptions."""
    yield from comparison_of_the_run()


@pytest.fixture(autouse=True)
def as_described(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test of the stand-ins after whose end something on the wire was other than the vendor's
    description says.
    """
    if "standins" not in request.fixturenames:
        yield
        return
    shared: StandIns = request.getfixturevalue("standins")
    comparison: Comparison = request.getfixturevalue("comparison")
    yield
    comparison.check(
        shared.control, wrong_on_purpose=request.node.get_closest_marker(WRONG_ON_PURPOSE) is not None
    )


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    folder = tmp_path_factory.mktemp("standins")
    give_certificates(folder)
    command = [
        sys.executable,
        "-m",
        "standins.run",
        "--folder",
        str(folder),
        "--entities",
        str(ROOT / "infra" / "service-bus.json"),
    ]
    command += ["--control", "--exchanges", "--latency", "none", "--with-parent"]
    with (
        (folder / "standins.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"the stand-ins did not start:\n{(folder / 'standins.log').read_text()}")
        ready = json.loads(line)
        control = Control(ready["control"])
        control.set_options("azure", owners=["operator", principal()])
        yield StandIns(control, ready["addresses"], ready["ca"], folder)
        process.terminate()
        process.wait(timeout=300)
