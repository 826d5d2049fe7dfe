"""Whether what a team reserves fits, and who of several gives way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.capacity import NODES, limits_of
from shared.catalog.catalog import Catalog, read_catalog
from shared.catalog.reservation import Account, Share, growth, room

GPT, PHI = "gpt-4.1", "phi-4"
_TEXT = f"""
models:
  - {{name: {GPT}, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 100, capacity: 100}}
  - {{name: {PHI}, provider: kaito, preset: phi-4, dedicated: {{instanceTypes: [Standard_A1], total: 1}}}}
"""


def _catalog() -> Catalog:
    catalog = read_catalog("c.yaml", _TEXT.encode()).catalog
    assert catalog is not None
    return catalog


def _room(account: Account, team: str, tokens: int) -> str:
    wanted = {GPT: tokens}
    return room(_catalog(), account, team, wanted, growth(_catalog(), wanted, account.shares[team].firm))


def test_what_others_have_and_have_reserved_leaves_no_room_for_who_comes_later() -> None:
    shares = {
        "alpha": Share({}, {GPT: 60}),
        "bravo": Share({}, {GPT: 60}),
        "zulu": Share({GPT: 10}, {GPT: 40}),
    }
    account = Account(shares)
    assert (_room(account, "zulu", 40), _room(account, "alpha", 60), _room(account, "bravo", 60)) == (
        "wait",
        "wait",
        "no",
    )
    assert _room(Account({"alpha": Share({}, {GPT: 60}), "zulu": Share({GPT: 40})}), "alpha", 60) == "yes"
    assert _room(Account({"alpha": Share({}, {GPT: 61}), "zulu": Share({GPT: 40})}), "alpha", 61) == "no"


def test_only_what_grows_has_to_fit() -> None:
    over = Account({"alpha": Share({GPT: 90}), "bravo": Share({GPT: 90})})
    assert _room(over, "alpha", 80) == "yes"
    assert _room(over, "alpha", 91) == "no"


def test_a_workspace_that_is_there_takes_a_gpu_whoever_it_was() -> None:
    wanted, grows = {PHI: 0}, growth(_catalog(), {PHI: 0}, {})
    assert grows == {(PHI, True)}
    for standing, verdict in (
        ({}, "yes"),
        ({PHI: {"alpha"}}, "yes"),
        ({PHI: {"gone"}}, "no"),
        ({PHI: {"bravo"}}, "no"),
    ):
        account = Account({"alpha": Share({}, wanted), "bravo": Share()}, standing)
        assert room(_catalog(), account, "alpha", wanted, grows) == verdict


def test_gpu_nodes_are_reserved_by_the_instance_type_and_by_what_stands() -> None:
    size, larger = "Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"
    text = (
        f"models: [{{name: {PHI}, provider: kaito, preset: llama-3.3-70b-instruct, "
        f"dedicated: {{instanceTypes: [{size}, {larger}], total: 9, totalNodes: 5}}}}]"
    )
    catalog = read_catalog("c.yaml", text.encode()).catalog
    assert catalog is not None
    assert growth(catalog, {PHI: size}, {PHI: larger}) == {(PHI, NODES)}
    assert growth(catalog, {PHI: larger}, {PHI: size}) == frozenset()
    grows = growth(catalog, {PHI: size}, {})
    assert grows == {(PHI, True), (PHI, NODES)}
    for other, standing, nodes, verdict in (
        ({PHI: larger}, {}, {}, "yes"),
        ({PHI: size}, {}, {}, "no"),
        ({PHI: 0}, {}, {}, "no"),
        ({PHI: larger}, {PHI: {"bravo"}}, {(PHI, "bravo"): 3}, "no"),
        ({}, {PHI: {"gone"}}, {(PHI, "gone"): 2}, "yes"),
        ({}, {PHI: {"gone"}}, {}, "no"),
    ):
        account = Account({"alpha": Share({}, {PHI: size}), "bravo": Share(other)}, standing, nodes=nodes)
        assert room(catalog, account, "alpha", {PHI: size}, grows) == verdict


def test_of_two_grants_of_a_workspace_the_known_one_is_the_share() -> None:
    assert Share({"a": 0, "b": "S", "c": "S"}, {"a": "S", "b": 5, "c": None}).whole == {
        "a": "S",
        "b": 5,
        "c": None,
    }


def test_a_share_is_the_larger_of_what_is_granted_and_reserved() -> None:
    share = Share({GPT: 10, "a": None, "b": 5}, {GPT: 20, "a": 7, "c": 0})
    assert share.whole == {GPT: 20, "a": None, "b": 5, "c": 0}


def test_a_team_that_changes_from_a_workspace_to_the_shared_model_has_both_meanwhile() -> None:
    account = Account({"alpha": Share({GPT: 0}, {GPT: 20})})
    assert (account.in_force["alpha"], account.workspaces) == ({GPT: 20}, {GPT: {"alpha"}})


_teams = st.sampled_from(["alpha", "bravo", "charlie", "delta"])


@given(st.dictionaries(_teams, st.tuples(st.integers(0, 50), st.integers(1, 100)), min_size=1))
def test_no_order_of_looks_grants_more_than_there_is_or_stops_everybody(
    had: Mapping[str, Any],
) -> None:
    """All have reserved before anybody looks; they look again and again, as they come back."""
    catalog, limit = _catalog(), limits_of(_catalog())[GPT, False]
    firm = {team: min(before, limit // len(had)) for team, (before, _) in had.items()}
    asked = {team: more for team, (_, more) in had.items()}
    reserved = set(asked)
    for _ in range(len(had)):
        for team in sorted(reserved, reverse=True):
            shares = {
                each: Share(
                    {GPT: firm[each]} if firm[each] else {}, {GPT: asked[each]} if each in reserved else {}
                )
                for each in had
            }
            verdict = _room(Account(shares), team, asked[team])
            if verdict == "yes":
                firm[team] = asked[team]
            if verdict != "wait":
                reserved.discard(team)
            assert sum(firm.values()) <= limit
    assert not reserved, "nobody waits for ever"
    assert catalog
