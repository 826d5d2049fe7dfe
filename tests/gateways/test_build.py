"""Which controllers are asked for, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.build import INSTALLED, Absent
from tests.gateways import build


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and both controllers asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(build.VARIABLE, "istio,envoy")
    return tmp_path / "mergekey"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("envoy", ("envoy-gateway",)),
        ("istio, envoy", ("istio", "envoy-gateway")),
        ("envoy,,istio,envoy", ("envoy-gateway", "istio")),
    ],
)
def test_the_environment_names_controllers(
    monkeypatch: pytest.MonkeyPatch, named: str, found: tuple[str, ...]
) -> None:
    monkeypatch.setenv(build.VARIABLE, named)
    assert build.asked() == found


def test_without_the_variable_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.VARIABLE, "")
    with pytest.raises(Absent, match=build.VARIABLE):
        build.program("istio")


def test_a_controller_that_is_not_named_is_not_used(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv(build.VARIABLE, "istio")
    cache.mkdir()
    for controller in build.SOURCES:
        build.built(controller).touch()
    assert build.program("istio") == build.built("istio")
    with pytest.raises(Absent, match="envoy"):
        build.program("envoy-gateway")


def test_an_unknown_controller_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.VARIABLE, "istio,traefik")
    with pytest.raises(ValueError, match="traefik"):
        build.main()


def test_a_program_that_is_not_built_says_how_to_build_it() -> None:
    with pytest.raises(Absent, match="make contract"):
        build.program("istio")


def test_without_go_nothing_is_built_and_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.setattr("tests.cluster.build.INSTALLED", f"{cache}{INSTALLED}")
    assert build.main() == 0
    assert "Go is not here" in capsys.readouterr().out
    assert not build.built("istio").exists()
