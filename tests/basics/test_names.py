"""Names: no two owners share one, and each fits where it is used."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import names

# A small alphabet, and the very words that names are made of, so that collisions would be found.
_parts = st.sampled_from(
    ["a", "b", "a1", "team", "shared", "primary", "secondary", "key", "endpoint", "ai", "phi", "4"]
)
teams = (
    st.lists(_parts, min_size=1, max_size=6)
    .map("-".join)
    .filter(lambda team: names.team_problem(team) is None)
)
_dividers = st.sampled_from([".", "-", "_", "/"])
models = st.builds(
    lambda first, rest: first + "".join(a + b for a, b in rest),
    _parts,
    st.lists(st.tuples(_dividers, _parts), max_size=4),
).filter(lambda model: names.model_problem(model) is None and names.slug_problem(model) is None)
members = (
    st.lists(_parts, min_size=1, max_size=4)
    .map("-".join)
    .filter(lambda member: names.member_problem(member) is None)
)
secrets = st.lists(_parts, min_size=1, max_size=4).map("-".join)
owners = st.tuples(teams, models)
pools = st.tuples(owners, members, secrets)
Pool = tuple[tuple[str, str], str, str]

_LIMITS = {
    "product": (256, r"[a-z0-9-]+"),
    "subscription": (256, r"[a-z0-9-]+"),
    "backend": (80, r"[a-z0-9][a-z0-9-]*[a-z0-9]"),
    "named value": (256, r"[a-z0-9-]+"),
    "secret": (127, r"[0-9a-z-]+"),
    "project": (64, r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
    "namespace": (63, r"[a-z]([a-z0-9-]*[a-z0-9])?"),
    "workspace": (63 - len("-headless"), r"[a-z]([a-z0-9-]*[a-z0-9])?"),
    "node label": (63, r"[a-z]([a-z0-9-]*[a-z0-9])?"),
}


def _names(pool: Pool) -> dict[tuple[str, str], tuple[str, ...]]:
    """Every name that a team has for a model, as (kind and scope, name), and whose it is; a member of the
    model's pool, a credential.
    """
    (team, model), member, secret = pool
    of_team, of_model = (team, ""), ("", names.slug(model))
    both = (team, names.slug(model))
    return {
        ("product", names.product(team)): of_team,
        ("subscription", names.subscription(team)): of_team,
        ("namespace", names.namespace(team)): of_team,
        ("project", names.project(team)): of_team,
        ("secret", names.primary_key_secret(team)): (team, "primary"),
        ("secret", names.secondary_key_secret(team)): (team, "secondary"),
        ("secret", names.endpoint_secret(team)): (team, "endpoint"),
        ("backend", names.backend(team, model)): both,
        ("backend", names.shared_backend(model)): of_model,
        ("backend", names.member_backend(model, member)): ("", names.slug(model), member),
        ("named value", names.credential(secret)): ("", "", secret),
        ("node label", names.node_label(team, model)): both,
        ("workspace", f"{names.namespace(team)}/{names.workspace(model)}"): both,
    }


@given(pools, pools)
def test_no_two_owners_share_a_name_of_any_kind(one: Pool, other: Pool) -> None:
    mine, theirs = _names(one), _names(other)
    assert len(mine) == 13
    for name in mine.keys() & theirs.keys():
        assert mine[name] == theirs[name], name


@given(pools)
def test_every_name_fits_where_it_is_used(pool: Pool) -> None:
    for kind, name in _names(pool):
        longest, pattern = _LIMITS[kind]
        own = name.rpartition("/")[2]
        assert len(own) <= longest
        assert re.fullmatch(pattern, own), name


def test_the_longest_names_fit() -> None:
    team, model = "a" * names.MAX_TEAM_LENGTH, "m" * names.MAX_SLUG_LENGTH
    assert names.team_problem(team) is None
    assert names.slug_problem(model) is None
    assert len(names.backend(team, model)) == names.MAX_BACKEND_LENGTH
    assert names.slug_problem(model + "m") is not None
    member = "a" * names.MAX_MEMBER_LENGTH
    assert names.member_problem(member) is None
    assert len(names.member_backend(model, member)) == names.MAX_BACKEND_LENGTH
    assert names.member_problem(member + "a") is not None


def test_a_node_label_is_cut_only_where_it_has_to_be() -> None:
    team, model = "a" * names.MAX_TEAM_LENGTH, "m" * names.MAX_SLUG_LENGTH
    room = names.MAX_LABEL_LENGTH - len(f"team-{team}--")
    assert names.node_label(team, model[:room]) == f"team-{team}--{model[:room]}"
    cut = {names.node_label(team, name) for name in (model[: room + 1], model, model[:-1] + "n")}
    assert {len(label) for label in cut} == {names.MAX_LABEL_LENGTH}
    assert len(cut) == 3
    assert all(label.startswith(f"team-{team}--mmm-") for label in cut)
    assert (
        names.node_label(team, model)
        == f"team-{team}--mmm-{sha256(f'team-{team}--{model}'.encode()).hexdigest()[:12]}"
    )


def test_a_vault_does_not_tell_capitals_apart() -> None:
    assert names.credential("OpenAI-EU") == names.credential("openai-eu") == "credential--openai-eu"


@pytest.mark.parametrize("member", ["", "Sweden", "a--b", "-a", "a-", "1a", "a.b", "a\n", "ä"])
def test_an_improper_name_of_a_pools_member_is_refused(member: str) -> None:
    fault = names.member_problem(member)
    assert fault is not None
    assert fault[0] == "BadMemberName"


@given(models, models)
def test_a_service_that_kaito_makes_is_no_other_models_workspace(model: str, other: str) -> None:
    assert names.workspace(other) != names.workspace(model) + "-headless"


@pytest.mark.parametrize("team", ["alpha", "a1b", "teams", "alpha-primary", "a" * 40])
def test_a_proper_team_name_has_no_fault(team: str) -> None:
    assert names.team_problem(team) is None


@pytest.mark.parametrize(
    "team",
    [
        "",
        "ab",
        "a" * 41,
        "Alpha",
        "1alpha",
        "alpha-",
        "-alpha",
        "al--pha",
        "al_pha",
        "älpha",
        "alpha\n",
        "a.b",
    ],
)
def test_an_improper_team_name_is_refused(team: str) -> None:
    fault = names.team_problem(team)
    assert fault is not None
    assert fault[0] == "BadTeamName"


@pytest.mark.parametrize("team", ["catalogue", "platform", "all"])
def test_a_reserved_name_is_refused(team: str) -> None:
    fault = names.team_problem(team)
    assert fault is not None
    assert fault[0] == "ReservedName"


@pytest.mark.parametrize(
    "model",
    ["", "4o", "gpt 4", "gpt-4.1-", "gpt--4", "a'b", 'a"b', "{{a}}", "@(a)", "<a>", "gpt-4\n", "a" * 65],
)
def test_no_model_name_can_carry_what_a_policy_would_evaluate(model: str) -> None:
    assert names.model_problem(model) is not None


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("gpt-4.1", "gpt-4-1"),
        ("meta-llama/Llama-3.1-8B", "meta-llama-llama-3-1-8b"),
        ("Phi_4", "phi-4"),
        ("phi-4", "phi-4"),
    ],
)
def test_a_slug_is_a_dns_label(model: str, slug: str) -> None:
    assert names.slug(model) == slug


def test_a_faulty_name_gets_a_reason_and_advice() -> None:
    for fault, reason, parts in (
        (names.team_problem("team-alpha"), "BadTeamName", ["'team-'", "'alpha'"]),
        (names.team_problem("ab"), "BadTeamName", [" 3 to 40 ", " 2"]),
        (names.team_problem("all"), "ReservedName", ["'all'"]),
        (names.model_problem("m" * 65), "BadModelName", [" 64 ", " 65"]),
        (names.model_problem("gpt 4"), "BadModelName", []),
        (names.slug_problem("phi-headless"), "BadModelName", ["'headless'"]),
    ):
        assert fault is not None
        assert fault[0] == reason
        assert all(part in fault[1] for part in parts), fault
    assert names.model_problem("m" * 64) is None


def test_a_slug_has_no_dash_at_its_ends() -> None:
    assert names.slug("-X.") == "x"
