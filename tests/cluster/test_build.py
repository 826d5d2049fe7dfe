"""Where the program is, what is said where there is none, and that its parts end with who started them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from standins.stack import wait_until
from tests.cluster import build
from tests.cluster.build import Absent

#: Starts etcd, prints its process id, and waits.
_STARTER = """
import sys, time
from pathlib import Path
from tests.cluster.build import program
from tests.cluster.control_plane import ETCD, ControlPlane, Issuer
plane = ControlPlane(program(), Path(sys.argv[1]), Issuer("https://nobody", "https://nobody", ""))
plane.start(ETCD)
print(plane.processes[ETCD].pid, flush=True)
time.sleep(3600)
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the module, and an empty cache folder."""
    copied = tmp_path / "program"
    shutil.copytree(build.SOURCES, copied)
    monkeypatch.setattr(build, "SOURCES", copied)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(build.VARIABLE, raising=False)
    return copied


def test_a_changed_module_is_another_program(sources: Path, tmp_path: Path) -> None:
    before = build.built()
    assert before.parent == tmp_path / "cache" / "mergekey"
    (sources / "go.mod").write_text((sources / "go.mod").read_text().replace("v3.6.5", "v3.6.6"))
    assert build.built() != before


def test_a_program_that_is_not_built_says_how_to_build_it(sources: Path) -> None:
    with pytest.raises(Absent, match="make cluster"):
        build.program()
    build.built().parent.mkdir(parents=True)
    build.built().touch()
    assert build.program() == build.built()


def test_the_environment_names_another_program(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = sources / "main.go"
    monkeypatch.setenv(build.VARIABLE, str(named))
    assert build.program() == named
    monkeypatch.setenv(build.VARIABLE, str(sources / "nothing"))
    with pytest.raises(Absent, match=build.VARIABLE):
        build.program()


def test_without_go_nothing_is_built_and_the_reason_is_said(
    sources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(sources))
    monkeypatch.setattr(build, "INSTALLED", str(sources / "go"))
    assert build.main() == 0
    assert "Go is not here" in capsys.readouterr().out
    assert not build.built().exists()


def test_an_old_go_is_refused(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = sources / "go"
    go.write_text("#!/bin/sh\necho go1.24.9\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(sources))
    with pytest.raises(Absent, match=r"go1\.24\.9"):
        build.go()


def test_a_part_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    try:
        build.program()
    except Absent as reason:
        pytest.skip(str(reason))
    command = [sys.executable, "-c", _STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        etcd = int(starter.stdout.readline())
        os.kill(etcd, 0)
        starter.kill()
    wait_until("etcd has ended", lambda: not _is_running(etcd))


def _is_running(process: int) -> bool:
    """A process that ended and that nobody has asked about yet does not run."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
