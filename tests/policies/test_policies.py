"""Policies as people would review them (`golden/*.xml`), and that no text of a request can change what they
do.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import names
from shared.catalog.catalog import Catalog
from shared.policies.api_policy import CLIENT_HEADERS, api_policy
from shared.policies.expressions import EXPRESSIONS
from shared.policies.policy_xml import REMAINING, SECURITY_HEADERS, digest_of, literal
from shared.policies.product_policy import granted_by, product_policy
from shared.requests.request import AccessRequest, ModelAccess, read_request
from tests.fakes.app import GPU, PATHS, Asked, a_catalog, path_of
from tests.policies.policy_cases import EVERY_CLASS, FULL, GOVERNED, PLAIN, POLICIES, asking, policy_texts
from tests.policies.strategies import catalogs, requests_of

CATALOG = a_catalog()

DANGEROUS = [
    "@(1)",
    "@{ return 1; }",
    "{{secret}}",
    '"',
    "'",
    "<a/>",
    "a)",
    "a(",
    "a;",
    "a\n",
    "a\\",
    "a&b",
    "a=b",
    "",
    " a",
    "ä",
    "a​",
    "a,b",
    "$a",
]


@pytest.mark.parametrize("name", policy_texts())
def test_a_policy_is_what_was_reviewed(name: str) -> None:
    assert policy_texts()[name] + "\n" == (POLICIES / name).read_text()


def test_every_reviewed_policy_is_explained() -> None:
    explained = re.findall(r"^\| `([\w-]+\.xml)` \|", (POLICIES / "README.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(policy_texts()) == sorted(path.name for path in POLICIES.glob("*.xml"))


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_could_end_a_text_or_start_code_is_no_literal(text: str) -> None:
    with pytest.raises(ValueError, match="not allowed in a policy"):
        literal(text)


@pytest.mark.parametrize("text", ["gpt-4.1", "microsoft/phi-4", "CC-12345", "alpha", "a_b:c"])
def test_names_are_literals(text: str) -> None:
    assert literal(text) == text


@given(st.text())
def test_a_literal_holds_nothing_that_the_gateway_evaluates(text: str) -> None:
    try:
        literal(text)
    except ValueError:
        return
    assert not set(text) & set("@{}()\"'<>&;\\$`\n\r\t")


ATTACKS = st.sampled_from(
    [
        "@(context.Variables)",
        "@{ return 1; }",
        "{{key}}",
        '"/><x a="',
        "</policies>",
        "<![CDATA[",
        "&lt;",
        "]]>",
        '" == "',
        "\\",
        "'",
        "#{",
        "&#64;(1)",
    ]
)
TEXTS = st.lists(st.one_of(ATTACKS, st.text(max_size=8)), max_size=4).map("".join)


def _shape(policy: str) -> list[tuple[str, tuple[str, ...], str]]:
    """Every element with the names of its attributes and every value that the gateway evaluates."""
    rows = []
    for element in ElementTree.fromstring(policy).iter():
        code = [
            value for value in (*element.attrib.values(), element.text or "") if "@" in value or "{{" in value
        ]
        rows.append((element.tag, tuple(sorted(element.attrib)), "".join(code)))
    return rows


def _without_cost_centre(policy: str) -> str:
    return "\n".join(line for line in policy.splitlines() if "Cost centre" not in line)


@given(display_name=TEXTS, owner=TEXTS, cost_center=st.one_of(st.none(), TEXTS))
def test_no_text_of_a_request_changes_the_structure_of_its_policy(
    display_name: str, owner: str, cost_center: str | None
) -> None:
    policy = product_policy(
        replace(FULL, display_name=display_name, owner=owner, cost_center=cost_center), CATALOG
    )
    assert _shape(_without_cost_centre(policy)) == _shape(_without_cost_centre(product_policy(FULL, CATALOG)))


@given(cost_center=TEXTS)
def test_a_cost_centre_is_in_the_metric_only_when_it_is_harmless(cost_center: str) -> None:
    policy = product_policy(replace(FULL, cost_center=cost_center), CATALOG)
    values = [
        element.get("value")
        for element in ElementTree.fromstring(policy).iter("dimension")
        if element.get("name") == "Cost centre"
    ]
    assert values in ([], [cost_center, cost_center])
    assert not values or not set(cost_center) & set("@{}()\"'<>&;\\")


@given(text=st.sampled_from(["@(1)", "{{x}}", '"', "a)b", "<x/>"]))
def test_a_team_or_model_that_could_be_code_is_never_compiled(text: str) -> None:
    strange = Catalog((replace(CATALOG.models[0], name=text),))
    for request in (
        replace(PLAIN, team=text, tokens_per_minute=1),
        replace(PLAIN, models=(replace(PLAIN.models[0], name=text),)),
    ):
        with pytest.raises(ValueError, match="not allowed in a policy"):
            product_policy(request, strange)
    with pytest.raises(ValueError, match="not allowed in a policy"):
        api_policy(strange)


def test_a_request_is_read_before_any_text_of_it_reaches_a_policy() -> None:
    text = Asked().text().replace("Team Alpha", "'@(1) {{x}} <y/>'")
    request = read_request(path_of("alpha"), text.encode(), a_catalog(), PATHS).request
    assert request is None or product_policy(request, CATALOG) == product_policy(PLAIN, CATALOG)


def test_a_day_or_an_owner_is_no_part_of_a_policy() -> None:
    assert product_policy(replace(PLAIN, expires=date(2030, 1, 1), owner="x@y.z"), CATALOG) == product_policy(
        PLAIN, CATALOG
    )


def test_each_model_and_the_team_are_limited_apart() -> None:
    counters = [
        element.attrib["counter-key"]
        for element in ElementTree.fromstring(product_policy(FULL, CATALOG)).iter("llm-token-limit")
    ]
    assert counters == ["alpha", "alpha:gpt-4.1", "alpha:phi-4"]


def test_the_list_of_models_is_limited_apart_and_before_all_else() -> None:
    inbound = ElementTree.fromstring(product_policy(FULL, CATALOG)).find("inbound")
    assert inbound is not None
    tags = [each.tag for each in inbound]
    assert tags.index("choose") < tags.index("include-fragment") < tags.index("llm-token-limit")
    asked = inbound[tags.index("choose")][0]
    limit = asked.find("rate-limit-by-key")
    assert limit is not None
    assert (limit.get("counter-key"), limit.get("calls")) == ("alpha/list", "60")


@given(st.data())
def test_no_two_counters_have_one_key(data: st.DataObject) -> None:
    """Neither in one policy nor in those of two teams; each key counts in one period at most."""
    found: dict[str, set[tuple[str, str | None, str | None]]] = {}
    for team in ("alpha", "alpha-month", "month"):
        catalog = data.draw(catalogs())
        policy = product_policy(replace(data.draw(requests_of(catalog)), team=team), catalog)
        for branch in ElementTree.fromstring(policy).iter():
            for limit in branch.findall("llm-token-limit"):
                model = branch.find("set-variable[@name='granted-model']")
                name = None if model is None else model.get("value")
                user = team, name, limit.get("token-quota-period")
                found.setdefault(limit.attrib["counter-key"], set()).add(user)
                assert limit.attrib["counter-key"] == (team if name is None else f"{team}:{name}")
    assert [key for key, users in found.items() if len(users) > 1] == []


@pytest.mark.parametrize("name", policy_texts())
def test_every_answer_of_a_policy_has_the_security_headers_and_openais_form(name: str) -> None:
    for answer in ElementTree.fromstring(policy_texts()[name]).iter("return-response"):
        headers = {each.get("name"): each.findtext("value") for each in answer.findall("set-header")}
        assert headers.items() >= {**SECURITY_HEADERS, "Content-Type": "application/json"}.items()
        body = answer.findtext("set-body") or ""
        status = answer.find("set-status")
        is_error = status is not None and status.get("code") != "200"
        if is_error and not body.startswith("@"):
            assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}


def test_an_error_keeps_what_is_left_of_limits_and_when_to_come_back() -> None:
    answer = ElementTree.fromstring(api_policy(GOVERNED)).find("on-error/return-response")
    assert answer is not None
    kept = {each.get("name") for each in answer.findall("set-header")}
    told = {
        each.attrib[name]
        for text in policy_texts().values()
        for each in ElementTree.fromstring(text).iter()
        for name in each.attrib
        if name.startswith("remaining-") and name.endswith("-header-name")
    }
    assert told == set(REMAINING)
    assert kept >= told | {"Retry-After", "WWW-Authenticate"}


def test_no_key_of_a_client_reaches_a_backend() -> None:
    inbound = ElementTree.fromstring(api_policy(a_catalog())).find("inbound")
    assert inbound is not None
    removed = {
        (element.tag, element.get("name")) for element in inbound if element.get("exists-action") == "delete"
    }
    headers = {("set-header", name) for name in CLIENT_HEADERS}
    usual = {"api-key", "api_key", "Ocp-Apim-Subscription-Key", "Authorization", "x-api-key", "Cookie"}
    assert usual <= set(CLIENT_HEADERS)
    assert removed == headers | {
        ("set-query-parameter", "api-key"),
        ("set-query-parameter", "subscription-key"),
    }


def _models(request: AccessRequest) -> list[str]:
    return [model.name for model in request.models]


def test_what_was_not_asked_for_is_refused() -> None:
    choose = ElementTree.fromstring(product_policy(FULL, CATALOG)).findall("inbound/choose")[-1]
    conditions = [element.attrib["condition"] for element in choose.findall("when")]
    assert conditions == [
        f'@((string)context.Variables["requested-model"] == "{name}")' for name in _models(FULL)
    ]
    assert choose.find("otherwise/return-response/set-status") is not None


@pytest.mark.parametrize(
    "text", [product_policy(FULL, CATALOG), api_policy(a_catalog())], ids=["product", "api"]
)
def test_the_digest_survives_another_way_of_writing_the_same(text: str) -> None:
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.attrib = dict(reversed(element.attrib.items()))
        element.text = f"\r\n\t {(element.text or '').strip()} \n" if element.text else element.text
    rewritten = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False).replace(
        "<inbound>", "<inbound><!-- seen -->"
    )
    assert digest_of(rewritten) == digest_of(text) != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('tokens-per-minute="55000"', 'tokens-per-minute="9999999"'),
        ('code="403"', 'code="200"'),
        ("<base />", ""),
        ("</choose>", "<base /></choose>"),
    ],
)
def test_a_policy_that_somebody_edited_is_not_ours_any_more(old: str, new: str) -> None:
    text = product_policy(replace(FULL, tokens_per_minute=55_000), CATALOG)
    assert old in text
    assert digest_of(text.replace(old, new, 1)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no XML",
        "<policies />",
        "<policies><inbound /></policies>",
        product_policy(PLAIN, CATALOG).replace("set-variable", "x-variable"),
    ],
)
def test_what_carries_no_digest_of_its_own_is_not_ours(text: str) -> None:
    assert digest_of(text) == ""


def _named(policy: str, *variables: str) -> set[str]:
    """The values that a policy gives to variables."""
    return {
        each.attrib["value"]
        for each in ElementTree.fromstring(policy).iter("set-variable")
        if each.get("name") in variables
    }


@pytest.mark.parametrize("request_", [asking(*(model.name for model in GOVERNED.models), of="restricted")])
def test_restricted_data_is_for_private_models_only_whatever_a_request_names(request_: AccessRequest) -> None:
    policy = product_policy(request_, GOVERNED)
    assert _named(policy, "granted-model", "fallback-model", "cached") == {
        "llama-on-premises",
        "mistral-small",
    }
    assert "llm-semantic-cache" not in policy


def test_a_score_has_no_exponent_however_small_it_is() -> None:
    assert GOVERNED.cache is not None
    smallest = replace(GOVERNED, cache=replace(GOVERNED.cache, score=Decimal("0.000001")))
    assert 'score-threshold="0.000001"' in product_policy(asking("gpt-4.1"), smallest)


def test_a_model_that_is_closed_to_a_class_of_data_is_closed_in_the_products_too() -> None:
    opened = replace(
        CATALOG, models=tuple(replace(model, data_classes=EVERY_CLASS) for model in CATALOG.models)
    )
    restricted = replace(PLAIN, data_classification="restricted")
    assert _named(product_policy(restricted, opened), "granted-model") == {"gpt-4.1"}
    assert _named(product_policy(restricted, CATALOG), "granted-model") == set()


def test_a_fallback_is_named_only_when_the_team_may_call_it_itself() -> None:
    with_it, without, own = (
        asking("gpt-4.1", "mistral-small"),
        asking("gpt-4.1"),
        asking("gpt-4.1", "mistral-small", gpu=GPU),
    )
    fallbacks = [_named(product_policy(each, GOVERNED), "fallback-model") for each in (with_it, without, own)]
    assert fallbacks == [{"mistral-small"}, set(), set()]


def test_a_token_of_the_platform_is_kept_in_a_variable_and_sent_to_foundry_only() -> None:
    root = ElementTree.fromstring(api_policy(GOVERNED))
    assert all(
        each.get("output-token-variable-name") for each in root.iter("authentication-managed-identity")
    )
    foundry = {names.shared_backend(model.name) for model in GOVERNED.models if model.provider == "foundry"}
    for branch in root.iter():
        backends = {each.get("backend-id") for each in branch.findall("set-backend-service")}
        sends = any(
            each.get("name") == "Authorization" and each.get("exists-action") == "override"
            for each in branch.findall("set-header")
        )
        assert not backends or (backends <= foundry) == sends


def test_no_more_dimensions_than_api_management_takes() -> None:
    policy = product_policy(replace(FULL, cost_center="CC-1"), CATALOG)
    assert all(len(metric) <= 5 for metric in ElementTree.fromstring(policy).iter("llm-emit-token-metric"))


def test_every_expression_in_a_policy_is_one_of_the_table() -> None:
    written = [
        "[A-Za-z0-9._:/ -]+".join(
            re.escape(part) for part in re.split(r"%(?:name|value)%", " ".join(text.split()))
        )
        for text in EXPRESSIONS.values()
    ]
    used = set()
    for policy in policy_texts().values():
        for element in ElementTree.fromstring(policy).iter():
            for value in (*element.attrib.values(), element.text or ""):
                if value.startswith("@"):
                    found = [
                        which
                        for which, text in zip(EXPRESSIONS, written, strict=True)
                        if re.fullmatch(text, " ".join(value.split()))
                    ]
                    assert found, value
                    used.update(found)
    assert used == EXPRESSIONS.keys()


def test_a_fallback_gets_no_credential_of_the_model_that_failed() -> None:
    retry = ElementTree.fromstring(api_policy(GOVERNED)).find("backend/retry")
    assert retry is not None
    turn = retry.find("choose/when")
    assert turn is not None
    assert (turn[0].tag, dict(turn[0].items())) == (
        "set-header",
        {"name": "Authorization", "exists-action": "delete"},
    )
    assert [each.tag for each in turn][-1] == "set-body"
    tags = [each.tag for each in retry]
    assert tags.index("choose") < tags.index("retry")
    assert [each.tag for each in retry[tags.index("retry")]][-1] == "forward-request"


def test_what_a_product_did_not_decide_is_refused_before_any_backend_is_named() -> None:
    inbound = ElementTree.fromstring(api_policy(GOVERNED)).find("inbound")
    assert inbound is not None
    tags = [each.tag for each in inbound]
    first = ["cors", "validate-azure-ad-token", "choose", "choose"]
    assert tags[: len(first) + 2] == [*first, "base", "set-variable"]
    undecided = inbound[tags.index("choose", tags.index("base"))]
    assert undecided[0].get("condition") == '@(!context.Variables.ContainsKey("granted-model"))'
    assert [each.get("code") for each in undecided.iter("set-status")] == ["403"]


_BOUNDS = st.none() | st.integers(1, 100_000)


@given(st.data())
def test_what_a_policy_grants_is_read_back_as_it_was_asked_for(data: st.DataObject) -> None:
    models = []
    for model in GOVERNED.models:
        if "internal" in model.data_classes and data.draw(st.booleans()):
            gpu = data.draw(st.sampled_from([None, GPU])) if model.dedicated else None
            models.append(ModelAccess(model.name, model.provider, data.draw(_BOUNDS), None, gpu))
    overall, calls = data.draw(_BOUNDS), data.draw(_BOUNDS)
    request = replace(PLAIN, models=tuple(models), tokens_per_minute=overall, requests_per_minute=calls)
    own = {model: 0 if isinstance(grant, str) else grant for model, grant in request.tokens.items()}
    assert granted_by(product_policy(request, GOVERNED)) == own


def test_an_edited_policy_grants_what_it_says_and_a_strangers_nothing_known() -> None:
    policy = product_policy(PLAIN, CATALOG)
    assert granted_by(policy) == PLAIN.tokens == {"gpt-4.1": 10_000}
    assert granted_by(policy.replace('tokens-per-minute="10000"', 'tokens-per-minute="910000"')) == {
        "gpt-4.1": 910_000
    }
    assert granted_by(policy.replace('tokens-per-minute="10000"', 'tokens-per-minute="@(many)"')) == {
        "gpt-4.1": None
    }
    for other in ("<policies><inbound><base /></inbound></policies>", "<policies />", "no XML"):
        assert granted_by(other) is None


def test_a_requests_tokens_are_those_of_its_verdict() -> None:
    text = (
        Asked(models=("gpt-4.1", "text-embedding-3-large"), dedicated={"phi-4": GPU}).text()
        + "limits: {tokensPerMinute: 7000}\n"
    )
    verdict = read_request(path_of("alpha"), text.encode(), CATALOG, PATHS)
    assert verdict.request is not None
    assert (
        verdict.request.tokens
        == verdict.tokens
        == {"gpt-4.1": 7000, "text-embedding-3-large": 7000, "phi-4": GPU}
    )
