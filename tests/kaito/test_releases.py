"""What follows from the release that the catalogue names, and from the one in the cluster."""

from __future__ import annotations

from typing import get_args

import pytest

from shared.catalog.catalog import read_catalog
from shared.kaito.releases import (
    ACCESS_SECRETS,
    DEFAULT_RELEASE,
    RELEASES,
    Release,
    difference,
    start_problem,
)

#: A size on which all of these fit.
GPU = "Standard_ND96isr_H200_v5"


def _reasons(release: str, preset: str, *, secret: bool) -> list[str]:
    text = (
        f"{release}models:\n  - {{name: m, provider: kaito, preset: {preset}, "
        f"{'accessSecret: token, ' if secret else ''}shared: {{instanceType: {GPU}}}}}\n"
    )
    return [problem.reason for problem in read_catalog("catalog.yaml", text.encode()).problems]


#: By release: presets that must name a secret, may, and must not. Printed by KAITO's own webhook for 0.6,
#: 0.8 and 0.11.
SECRETS = [
    ("0.6", "llama-3.1-8b-instruct", "must"),
    ("0.6", "deepseek-v3-0324", "must"),
    ("0.6", "phi-4", "must not"),
    ("0.7", "gpt-oss-120b", "must"),
    ("0.8", "llama-3.3-70b-instruct", "must"),
    ("0.8", "gemma-3-4b-instruct", "may"),
    ("0.8", "gpt-oss-120b", "may"),
    ("0.8", "phi-4-mini-instruct", "must not"),
    ("0.10", "phi-4", "must not"),
    ("0.10", "Qwen/Qwen3.5-4B", "may"),
    ("0.11", "llama-3.1-8b-instruct", "may"),
    ("0.11", "phi-4", "may"),
    ("0.12", "phi-4", "may"),
]


@pytest.mark.parametrize(("release", "preset", "rule"), SECRETS)
def test_an_access_secret_is_judged_by_the_release_that_the_catalogue_names(
    release: str, preset: str, rule: str
) -> None:
    line = f'kaito: "{release}"\n'
    assert _reasons(line, preset, secret=True) == (["NotAllowed"] if rule == "must not" else [])
    assert _reasons(line, preset, secret=False) == (["MissingKey"] if rule == "must" else [])


@pytest.mark.parametrize("preset", ["phi-4", "llama-3.1-8b-instruct"])
@pytest.mark.parametrize("secret", [True, False])
def test_a_catalogue_that_names_no_release_is_judged_as_before(preset: str, secret: bool) -> None:
    assert _reasons("", preset, secret=secret) == []


def test_every_release_has_its_rule_and_the_default_is_one_of_them() -> None:
    assert tuple(ACCESS_SECRETS) == RELEASES == get_args(Release)
    assert DEFAULT_RELEASE in RELEASES


@pytest.mark.parametrize(
    ("named", "found", "is_bounded", "problem"),
    [
        ("0.11", "0.11", False, None),
        ("0.11", "0.12", False, "KaitoReleaseDiffers"),
        ("0.11", "0.12", True, "KaitoReleaseDiffers"),
        ("0.11", None, False, "KaitoReleaseUnknown"),
        ("0.11", None, True, None),
        (None, "0.6", False, None),
        (None, None, False, "KaitoReleaseUnknown"),
        (None, None, True, None),
    ],
)
def test_a_workspace_starts_only_where_the_release_is_as_judged(
    named: Release | None, found: Release | None, is_bounded: bool, problem: str | None
) -> None:
    assert start_problem(named, found, is_bounded=is_bounded) == problem


@pytest.mark.parametrize(
    ("named", "found", "differs"),
    [
        ("0.11", "0.11", False),
        ("0.11", "0.12", True),
        ("0.11", None, True),
        (None, DEFAULT_RELEASE, False),
        (None, "0.11", True),
        (None, None, True),
    ],
)
def test_a_difference_names_both_releases(
    named: Release | None, found: Release | None, differs: bool
) -> None:
    text = difference(named, found)
    assert bool(text) == differs
    if differs:
        assert (named or DEFAULT_RELEASE) in text
        assert found is None or found in text
