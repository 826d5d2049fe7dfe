"""What a change of the catalogue costs the workspaces that stand: teams, minutes and price."""

from __future__ import annotations

from shared.branch.replacements import due_between, replacement_warnings
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, LARGER_GPU, Asked, a_catalog, catalog_text, path_of

PRICES = f"currency: EUR\nnodePrice: {{{GPU}: 4.00}}\n"
STANDS = PRICES + catalog_text()
WRITTEN = STANDS.replace("preset: phi-4\n", "preset: phi-4\n    servedName: written\n")
PARSER = WRITTEN.replace("servedName: written", "servedName: written\n    toolParser: hermes")


def _warnings(before: str, after: str, *teams: str, gpu: str = GPU) -> list[tuple[str, str]]:
    catalog, former = a_catalog(after), a_catalog(before)
    asked = {team: Asked(team=team, dedicated={"phi-4": gpu}) for team in teams}
    due = due_between(
        ({path_of(team): each.read(former) for team, each in asked.items()}, former),
        ({path_of(team): each.read(catalog) for team, each in asked.items()}, catalog),
    )
    found = replacement_warnings(DEFAULT_CATALOG_PATH, after.encode(), catalog, due)
    assert {(each.path, each.level) for each in found} <= {(DEFAULT_CATALOG_PATH, "warning")}
    assert all(after.splitlines()[each.line - 1].strip() == "- name: phi-4" for each in found)
    return [(each.reason, each.message) for each in found]


def test_workspaces_that_are_made_anew_are_told_with_teams_minutes_and_price() -> None:
    [(reason, message)] = _warnings(STANDS, WRITTEN, "alpha", "bravo")
    assert reason == "WorkspacesReplaced"
    assert [text in message for text in ("alpha", "bravo", "2 teams", "30 minutes", "60", "4.00 EUR")] == [
        True
    ] * 6
    assert "made anew" in message


def test_workspaces_that_are_restarted_are_told_as_such() -> None:
    [(_, message)] = _warnings(WRITTEN, PARSER, "alpha")
    assert ("restarted" in message, "made anew" in message) == (True, False)


def test_without_a_price_nothing_is_made_up() -> None:
    [(_, message)] = _warnings(STANDS, WRITTEN, "alpha", gpu=LARGER_GPU)
    assert "nodePrice" in message


def test_where_nodes_are_unknown_their_bound_counts() -> None:
    before = STANDS.replace("preset: phi-4\n", "preset: phi-4\n    maxNodes: 2\n").replace("4.00", "5.00")
    after = before.replace("    maxNodes: 2\n", "    maxNodes: 2\n    context: 200000\n")
    [(_, message)] = _warnings(before, after, "alpha")
    assert "5.00 EUR" in message


def test_what_changes_no_workspace_is_not_told() -> None:
    assert _warnings(WRITTEN, WRITTEN.replace("4.00", "5.00"), "alpha") == []


def test_the_workspaces_of_the_platform_are_told_too() -> None:
    before = STANDS.replace(
        "    endpoint: http://phi-4.shared.internal/v1\n", f"    shared: {{instanceType: {GPU}}}\n"
    )
    after = before.replace("preset: phi-4\n", "preset: phi-4\n    servedName: written\n")
    [(reason, message)] = _warnings(before, after)
    assert (reason, "made anew" in message, "2.00 EUR" in message) == ("WorkspacesReplaced", True, True)
