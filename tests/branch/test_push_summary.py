"""What a push means for each team, in a line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared.branch.push_summary import TeamChange, team_lines
from shared.requests.details import ModelAccess, TokenQuota
from shared.requests.request import AccessRequest

WEEK = timedelta(days=7)
MODEL = ModelAccess("gpt-4.1", "foundry", 10_000, None, None)
OWN = ModelAccess("phi-4", "kaito", None, None, "Standard_NC24ads_A100_v4")
REQUEST = AccessRequest(
    "alpha",
    "Alpha",
    "lead@contoso.com",
    None,
    "a-group",
    (MODEL,),
    None,
    None,
    False,
    False,
    "internal",
    None,
)


def _lines(*changes: TeamChange, grace: timedelta = WEEK) -> list[str]:
    return team_lines(changes, grace)


def _changed(**fields: Any) -> list[str]:
    return _lines(TeamChange("alpha", REQUEST, replace(REQUEST, **fields)))


def test_a_new_team_is_told_with_what_it_gets() -> None:
    asked = replace(REQUEST, models=(MODEL, OWN), expires=date(2027, 1, 31))
    assert _lines(TeamChange("alpha", None, asked, is_new=True)) == [
        "alpha: new, gpt-4.1 10,000/min, phi-4 on Standard_NC24ads_A100_v4, until 2027-01-31"
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "nothing changes"),
        ({"models": (replace(MODEL, tokens_per_minute=20_000),)}, "gpt-4.1 10,000 -> 20,000/min"),
        ({"models": (replace(MODEL, tokens_per_minute=None),)}, "gpt-4.1 10,000 -> none"),
        (
            {"models": (replace(MODEL, token_quota=TokenQuota(5_000, "Daily")),)},
            "gpt-4.1 quota none -> 5,000 daily",
        ),
        ({"models": (MODEL, OWN)}, "phi-4 added, on Standard_NC24ads_A100_v4"),
        ({"models": (OWN,)}, "gpt-4.1 removed, phi-4 added, on Standard_NC24ads_A100_v4"),
        ({"tokens_per_minute": 500}, "all models none -> 500/min"),
        ({"daily_token_quota": 9_000}, "all models none -> 9,000 tokens a day"),
        ({"requests_per_minute": 60}, "requests none -> 60/min"),
        ({"data_classification": "restricted"}, "data class internal -> restricted"),
        ({"expires": date(2027, 1, 31)}, "last day none -> 2027-01-31"),
        ({"entra_group": "another"}, "another group reads the keys, which are made new"),
        ({"playground_access": True, "tracing_enabled": True}, "playground opened, tracing changed"),
        ({"owner": "`x`", "cost_center": "[x](y)"}, "owner and cost centre changed"),
    ],
)
def test_a_change_is_told_by_its_amounts(fields: dict[str, Any], told: str) -> None:
    assert _changed(**fields) == [f"alpha: {told}"]


def test_a_workspace_on_another_size_is_told_with_both() -> None:
    own = replace(REQUEST, models=(OWN,))
    other = replace(REQUEST, models=(replace(OWN, instance_type="Standard_NC48ads_A100_v4"),))
    assert _lines(TeamChange("alpha", own, other)) == [
        "alpha: phi-4 on Standard_NC24ads_A100_v4 -> on Standard_NC48ads_A100_v4"
    ]


@pytest.mark.parametrize(
    ("grace", "time"),
    [(WEEK, "7 days"), (timedelta(days=1), "1 day"), (timedelta(hours=36), "36 hours")],
)
def test_a_removed_team_is_told_when_its_keys_stop_and_go(grace: timedelta, time: str) -> None:
    assert _lines(TeamChange("bravo", REQUEST, None), grace=grace) == [
        f"bravo: removed, its keys stop at once, deleted after {time}"
    ]


def test_what_the_guard_holds_goes_on_working() -> None:
    [line] = _lines(TeamChange("bravo", REQUEST, None, held=True))
    assert "held" in line
    assert "stop" not in line


def test_a_renamed_team_is_told_at_both_names() -> None:
    new = replace(REQUEST, team="echo", display_name="Echo")
    old = replace(REQUEST, team="delta")
    assert _lines(TeamChange("echo", None, new, is_new=True), TeamChange("delta", old, None)) == [
        "delta: renamed to echo, its keys stop at once, deleted after 7 days",
        "echo: renamed from delta, new keys",
    ]


def test_two_new_teams_that_ask_for_the_same_are_no_rename() -> None:
    new = [replace(REQUEST, team=team) for team in ("echo", "fox")]
    lines = _lines(
        *(TeamChange(each.team, None, each, is_new=True) for each in new), TeamChange("delta", REQUEST, None)
    )
    assert [line.partition(",")[0] for line in lines] == ["delta: removed", "echo: new", "fox: new"]


def test_without_a_request_before_it_the_whole_grant_is_told() -> None:
    assert _lines(TeamChange("alpha", None, REQUEST)) == ["alpha: now gpt-4.1 10,000/min"]
