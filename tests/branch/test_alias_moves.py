"""What people are told of an alias that leads elsewhere."""

from __future__ import annotations

import pytest

from shared.branch.review import Baseline, File, review
from shared.catalog.catalog import read_catalog
from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths

PATHS = RequestPaths()


def _catalog(old: str, new: str) -> bytes:
    """Two models with their aliases."""
    return (
        "models:\n"
        f"  - {{name: old, provider: foundry, endpoint: 'https://a.example/openai/v1', aliases: [{old}]}}\n"
        f"  - {{name: new, provider: foundry, endpoint: 'https://a.example/openai/v1', aliases: [{new}]}}\n"
    ).encode()


def _request(team: str, *models: str) -> tuple[str, File]:
    rows = "".join(f"    - {{name: {model}, tokensPerMinute: 1000}}\n" for model in models)
    text = f"team: {{name: {team}, owner: a@contoso.com}}\nmodels:\n  foundry:\n{rows}"
    return f"tenant-access/config/{team}/access.yaml", File(text.encode())


def _told(after: bytes, *requests: tuple[str, File], known: bool = True) -> list[tuple[str, str, str]]:
    before = read_catalog(DEFAULT_CATALOG_PATH, _catalog("chat", ""))
    files = {DEFAULT_CATALOG_PATH: File(after), **dict(requests)}
    baseline = Baseline(catalog=before if known else None)
    found = review(files, PATHS, DEFAULT_CATALOG_PATH, baseline)
    assert found.catalog is not None
    assert len(found.requests) == len(requests)
    return [(each.reason, each.level, each.message) for each in found.problems]


def test_teams_that_did_not_ask_for_the_new_model_are_named_in_red() -> None:
    [(reason, level, message)] = _told(
        _catalog("", "chat"),
        _request("alpha", "old"),
        _request("bravo", "old", "new"),
        _request("carl", "new"),
    )
    assert (reason, level) == ("AliasNotGranted", "failure")
    assert "alpha" in message
    assert "bravo" not in message


def test_a_move_within_what_teams_have_is_a_notice_that_names_them() -> None:
    [(reason, level, message)] = _told(_catalog("", "chat"), _request("bravo", "old", "new"))
    assert (reason, level) == ("AliasMoves", "notice")
    assert "bravo" in message


def test_an_alias_that_goes_is_a_warning_to_its_teams() -> None:
    [(reason, level, _)] = _told(_catalog("", ""), _request("alpha", "old"))
    assert (reason, level) == ("AliasGone", "warning")


@pytest.mark.parametrize("after", [_catalog("chat", ""), _catalog("chat, more", "")])
def test_an_alias_that_stays_or_comes_says_nothing(after: bytes) -> None:
    assert _told(after, _request("alpha", "old")) == []


def test_nothing_is_said_where_nobody_asks_for_the_old_model_or_nothing_is_known() -> None:
    assert _told(_catalog("", "chat"), _request("carl", "new")) == []
    assert _told(_catalog("", "chat"), _request("alpha", "old"), known=False) == []
