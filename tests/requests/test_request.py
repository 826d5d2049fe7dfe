"""From the written request, in three shapes, to AccessRequest."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.catalog import Catalog, read_catalog
from shared.catalog.terms import Provider
from shared.documents.strict_yaml import read_bytes
from shared.names import team_problem
from shared.requests.details import RequestedModel
from shared.requests.paths import RequestPaths
from shared.requests.request import AccessRequest, ModelAccess, ParsedRequest, TokenQuota, read_request
from shared.requests.shapes import ShapeA
from tests.branch.golden import CASES, REQUEST, case_names, catalog_file

EXAMPLES = Path(__file__).parents[2] / "examples" / "access-repo"
PATHS = RequestPaths()


def _catalog(content: bytes) -> Catalog:
    verdict = read_catalog("model_catalog.yaml", content)
    assert verdict.catalog is not None, verdict.problems
    return verdict.catalog


CATALOG = _catalog(catalog_file().content)
EXAMPLE_CATALOG = _catalog((EXAMPLES / "platform/config/model_catalog.yaml").read_bytes())

A_DAY = TokenQuota(5_000_000, "Daily")
GPT = ModelAccess("gpt-4.1", "foundry", 100_000, A_DAY, None)
A_REQUEST = AccessRequest(
    "alpha", "alpha", "lead@contoso.com", None, None, (GPT,), None, None, False, False, "internal", None
)


def _read(text: str, path: str = REQUEST) -> ParsedRequest:
    return read_request(path, text.encode(), CATALOG, PATHS)


def _example(path: str) -> AccessRequest:
    verdict = read_request(path, (EXAMPLES / path).read_bytes(), EXAMPLE_CATALOG, PATHS)
    assert verdict.request is not None, verdict.problems
    return verdict.request


def test_shape_a_is_read_with_everything_in_it() -> None:
    assert _example("tenant-access/config/alpha/access.yaml") == AccessRequest(
        team="alpha",
        display_name="Team Alpha",
        owner="alpha-lead@contoso.com",
        cost_center="CC-12345",
        entra_group="5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10",
        models=(
            ModelAccess("gpt-4.1", "foundry", 10_000, TokenQuota(1_000_000, "Daily"), None),
            ModelAccess("phi-4", "kaito", 50_000, None, "Standard_NC24ads_A100_v4"),
        ),
        tokens_per_minute=55_000,
        daily_token_quota=2_000_000,
        playground_access=True,
        tracing_enabled=True,
        data_classification="internal",
        expires=date(2035, 3, 31),
    )


def test_shape_b_is_a_config_map_whose_values_are_text() -> None:
    found = _example("tenant-access/config/team-bravo/access.yaml")
    assert (found.team, found.tokens_per_minute, found.daily_token_quota) == ("bravo", 5000, 500_000)
    assert (found.playground_access, found.tracing_enabled, found.cost_center) == (False, True, "CC-23456")
    assert [(model.name, model.instance_type) for model in found.models] == [
        ("gpt-4.1-mini", None),
        ("phi-4", None),
    ]


def test_shape_c_lists_names_and_counts_only_what_is_enabled() -> None:
    found = _example("developer-requests/charlie/access.yaml")
    assert [model.name for model in found.models] == ["gpt-4.1-mini", "text-embedding-3-large"]
    assert (found.team, found.tokens_per_minute, found.daily_token_quota) == ("charlie", 20_000, 1_000_000)


@pytest.mark.parametrize(
    "kind",
    [
        "foundry: [{name: gpt-4.1}]",
        "foundry: {enabled: true, models: [gpt-4.1]}",
        "foundry: {models: [gpt-4.1]}",
    ],
)
def test_shapes_a_and_c_ask_for_the_same_in_their_own_way(kind: str) -> None:
    assert _read(f"team: {{name: alpha, owner: lead@contoso.com}}\nmodels:\n  {kind}\n").request == A_REQUEST


def test_all_shapes_may_carry_the_group_the_expiry_and_the_classification() -> None:
    expected = replace(
        A_REQUEST,
        entra_group="0b9c3a4e-7d21-4c52-8f0e-6e1d2b7a9c33",
        expires=date(2027, 1, 1),
        data_classification="public",
    )
    more = "expires: 2027-01-01\ndataClassification: public\n"
    team = "team: {name: alpha, owner: lead@contoso.com, entraGroup: 0B9C3A4E-7D21-4C52-8F0E-6E1D2B7A9C33}\n"
    assert _read(team + more + "models: {foundry: [{name: gpt-4.1}]}").request == expected
    assert _read(team + more + "models: {foundry: {models: [gpt-4.1]}}").request == expected
    head = (CASES / "config-map-valid" / "access.yaml").read_text().partition("  models:")[0]
    head += (
        "  entraGroup: 0B9C3A4E-7D21-4C52-8F0E-6E1D2B7A9C33\n  expires: 2027-01-01\n  dataClassification: "
        "public\n"
    )
    assert _read(head + "  models: '[{name: gpt-4.1, type: foundry}]'\n").request == expected


def test_all_shapes_may_carry_a_limit_of_calls() -> None:
    team = "team: {name: alpha, owner: lead@contoso.com}\nlimits: {requestsPerMinute: 60}\n"
    config_map = (CASES / "config-map-valid" / "access.yaml").read_text() + '  requestsPerMinute: "60"\n'
    for text in (
        team + "models: {foundry: [{name: gpt-4.1}]}",
        team + "models: {foundry: {models: [gpt-4.1]}}",
        config_map,
    ):
        found = _read(text).request
        assert found is not None
        assert found.requests_per_minute == 60


@pytest.mark.parametrize("provider", get_args(Provider))
def test_each_kind_of_model_has_limits_of_its_own(provider: Provider) -> None:
    text = f"{{{provider}: [{{name: m, tokensPerMinute: 7, tokenQuota: {{tokens: 8, period: Weekly}}}}]}}"
    document = read_bytes(
        "a.yaml", f"team: {{name: alpha, owner: lead@contoso.com}}\nmodels: {text}\n".encode()
    )
    assert list(ShapeA.requested_models(document)) == [
        RequestedModel(("models", provider, 0), provider, "m", 7, TokenQuota(8, "Weekly"))
    ]


@pytest.mark.parametrize(
    ("text", "instance_type"),
    [
        ("{kaito: [{name: phi-4}]}", None),
        ("{kaito: [{name: phi-4, dedicated: true}]}", "Standard_NC24ads_A100_v4"),
        (
            "{kaito: [{name: phi-4, dedicated: true, instanceType: Standard_NC48ads_A100_v4}]}",
            "Standard_NC48ads_A100_v4",
        ),
        ("{kaito: {enabled: true, models: [phi-4]}}", "Standard_NC24ads_A100_v4"),
    ],
)
def test_a_kaito_model_is_shared_or_dedicated_as_its_shape_says(text: str, instance_type: str | None) -> None:
    found = _read(f"team: {{name: alpha, owner: lead@contoso.com}}\nmodels: {text}\n").request
    assert found is not None
    assert found.models[0].instance_type == instance_type


def test_where_no_limit_is_named_the_catalogues_ceiling_holds() -> None:
    found = _read(
        "team: {name: alpha, owner: lead@contoso.com}\nmodels: {foundry: [{name: gpt-4.1}, {name: "
        "gpt-4.1-mini}]}"
    ).request
    assert found is not None
    assert [(model.tokens_per_minute, model.token_quota) for model in found.models] == [
        (100_000, A_DAY),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("period", "most"),
    [
        ("Hourly", 208_333),
        ("Daily", 5_000_000),
        ("Weekly", 35_000_000),
        ("Monthly", 150_000_000),
        ("Yearly", 1_825_000_000),
    ],
)
def test_a_quota_is_held_to_the_daily_ceiling_over_its_period(period: str, most: int) -> None:
    def problems(tokens: int) -> list[str]:
        entry = f"{{name: gpt-4.1, tokenQuota: {{tokens: {tokens}, period: {period}}}}}"
        return [
            p.reason
            for p in _read(f"team: {{name: alpha, owner: a@b.com}}\nmodels: {{foundry: [{entry}]}}").problems
        ]

    assert problems(most) == []
    assert problems(most + 1) == ["AboveCeiling"]


def test_the_models_come_sorted_whatever_their_order() -> None:
    found = _read(
        "team: {name: alpha, owner: a@b.com}\nmodels: {kaito: [{name: phi-4}], foundry: [{name: "
        "gpt-4.1-mini}, {name: gpt-4.1}]}"
    ).request
    assert found is not None
    assert [model.name for model in found.models] == ["gpt-4.1", "gpt-4.1-mini", "phi-4"]


def test_without_a_catalogue_only_its_own_problems_are_told_and_there_is_no_request() -> None:
    text = b"team: {name: alpha, owner: nobody}\nmodels: {foundry: [{name: gpt-9}]}\n"
    verdict = read_request(REQUEST, text, None, PATHS)
    assert ([problem.reason for problem in verdict.problems], verdict.request) == (["BadEmail"], None)
    valid = read_request(REQUEST, text.replace(b"nobody", b"a@b.com"), None, PATHS)
    assert (valid.problems, valid.request) == ((), None)


def test_the_claimed_team_is_known_even_when_the_rest_is_wrong() -> None:
    verdict = _read("team: {name: alpha}\n")
    assert (verdict.request, verdict.team) == (None, "alpha")


def test_a_file_outside_the_request_paths_is_refused() -> None:
    text = (CASES / "valid" / "access.yaml").read_text()
    assert [problem.reason for problem in _read(text, "elsewhere/alpha/access.yaml").problems] == [
        "WrongFolder"
    ]


def test_a_file_full_of_mistakes_gets_a_bounded_answer() -> None:
    keys = "".join(f"k{number}: 1\nk{number}: 2\n" for number in range(3000))
    assert len(_read("team: {}\n" + keys).problems) == 100


_SEEDS = [
    (CASES / name / "access.yaml").read_bytes()
    for name in case_names()
    if (CASES / name / "access.yaml").exists()
]
_pieces = st.sampled_from(
    [
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!str ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\n",
        b"  ",
        b": ",
        b"- ",
        b"|\n",
        b'"',
        b"\x00",
        b"\xff",
        b"1",
        b"null",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A written request with a few pieces cut out and put in."""
    content = draw(st.sampled_from(_SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(_pieces) + content[start + draw(st.integers(0, 12)) :]
    return content


@given(mutated() | st.binary(max_size=100))
def test_any_bytes_give_either_a_request_or_problems(
    content: bytes,
) -> None:
    verdict = read_request(REQUEST, content, CATALOG, PATHS)
    assert (verdict.request is None) == bool(verdict.problems)
    for problem in verdict.problems:
        assert problem.message.endswith((".", "?"))
        assert problem.message.isprintable()
        assert problem.line >= 1
    if verdict.request is not None:
        assert team_problem(verdict.request.team) is None
        assert verdict.request.models


def test_a_quota_counts_for_models_of_both_kinds() -> None:
    foundry = "{name: gpt-4.1, tokenQuota: {tokens: 7, period: Hourly}}"
    kaito = "{name: phi-4, tokenQuota: {tokens: 8, period: Daily}}"
    found = _read(
        f"team: {{name: alpha, owner: lead@contoso.com}}\nmodels: {{foundry: [{foundry}], kaito: "
        f"[{kaito}]}}\n"
    ).request
    assert found is not None
    assert [model.token_quota for model in found.models] == [TokenQuota(7, "Hourly"), TokenQuota(8, "Daily")]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("kind: ConfigMap\n", "'data' is missing"),
        ("data: {}\n", "'kind' is missing"),
        ("team: {name: alpha, owner: a@b.com}\n", "'models' is missing"),
        ("models: {foundry: [{name: gpt-4.1}]}\n", "'team' is missing"),
    ],
)
def test_half_a_request_is_known_by_its_first_word(text: str, missing: str) -> None:
    problems = _read(text).problems
    assert any(missing in problem.message for problem in problems), problems
    assert "UnknownShape" not in [problem.reason for problem in problems]


def test_a_file_that_is_no_request_is_told_how_one_begins() -> None:
    [problem] = _read("sort: ConfigMap\n").problems
    assert (problem.reason, problem.line, problem.column) == ("UnknownShape", 1, 1)
    assert "'team:'" in problem.message
    assert "'models:'" in problem.message


def test_restricted_data_has_no_playground_in_any_shape() -> None:
    head = (CASES / "config-map-valid" / "access.yaml").read_text().partition("  models:")[0]
    lines = [
        line
        for line in head.splitlines()
        if "dataClassification" not in line and "playground" not in line.lower()
    ]
    tail = (
        "  dataClassification: restricted\n  playgroundAccess: 'true'\n  models: '[{name: gpt-4.1, type: "
        "foundry}]'\n"
    )
    assert "PlaygroundNotAllowed" in [
        problem.reason for problem in _read("\n".join(lines) + "\n" + tail).problems
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("true", "true or false"),
        ("7", "a number"),
        ("1.5", "the number '1.5'"),
        ("[a]", "a list"),
        ("{a: b}", "a mapping"),
    ],
)
def test_what_stands_in_the_place_of_a_text_is_named(value: str, told: str) -> None:
    problems = _read(
        f"team: {{name: alpha, owner: a@b.com, costCenter: {value}}}\nmodels: {{foundry: [{{name: "
        "gpt-4.1}]}\n"
    ).problems
    [message] = [problem.message for problem in problems if problem.reason == "WrongType"]
    assert message.startswith("'team.costCenter'")
    assert f" {told}." in message


@pytest.mark.parametrize(
    ("written", "meant"), [("Public", "public"), ("internl", "internal"), ("Restricted", "restricted")]
)
def test_a_word_that_is_nearly_allowed_is_proposed(written: str, meant: str) -> None:
    request = "team: {name: alpha, owner: a@b.com}\nmodels: {foundry: [{name: gpt-4.1}]}\n"
    [problem] = _read(f"{request}dataClassification: {written}\n").problems
    assert problem.reason == "NotAllowed"
    assert problem.message.endswith(f"not '{written}'. Did you mean '{meant}'?")


def test_no_model_is_refused_for_a_class_of_data_that_cannot_be_read() -> None:
    public = replace(
        CATALOG, models=tuple(replace(model, data_classes=frozenset({"public"})) for model in CATALOG.models)
    )
    request = "team: {name: alpha, owner: a@b.com}\nmodels: {foundry: [{name: gpt-4.1}]}\n"
    unread = {"dataClassification: publik\n": [3], "dataClassification: *alias\n": [3]}
    for more, places in {"": [2], **unread, "dataClassification: public\n": []}.items():
        problems = read_request(REQUEST, (request + more).encode(), public, PATHS).problems
        assert [problem.line for problem in problems] == places


@pytest.mark.parametrize(
    "written", ["20270331", "2027-W13-3", "2027-W13", "2027-3-31", "2027-02-30", "2027-03-31T00:00:00"]
)
def test_a_date_is_written_in_one_way(written: str) -> None:
    text = (CASES / "valid" / "access.yaml").read_text() + f'expires: "{written}"\n'
    [problem] = _read(text).problems
    assert problem.reason == "BadDate"
    assert f"'{written}' is not a date" in problem.message


_PICTURES = _catalog(
    b"models:\n"
    b"  - {name: gpt-4.1, provider: foundry, endpoint: 'https://a.example/v1', aliases: [chat-default]}\n"
    b"  - {name: pictures, provider: foundry, endpoint: 'https://a.example/v1', serves: [images]}\n"
)


def _asked(model: str, more: str = "") -> ParsedRequest:
    text = (
        f"team: {{name: alpha, owner: a@contoso.com}}\nmodels:\n  foundry:\n    - {{name: {model}}}\n{more}"
    )
    return read_request(REQUEST, text.encode(), _PICTURES, PATHS)


def test_pictures_have_no_tokens_so_calls_for_them_need_a_limit() -> None:
    [problem] = _asked("pictures").problems
    assert (problem.reason, problem.line) == ("NoCallLimit", 4)
    assert "requestsPerMinute" in problem.message
    assert _asked("pictures", "limits: {requestsPerMinute: 10}\n").request is not None


def test_who_asks_for_an_alias_is_told_the_models_name() -> None:
    [problem] = _asked("chat-default").problems
    assert (problem.reason, problem.line) == ("UnknownModel", 4)
    assert "'gpt-4.1'" in problem.message
