"""Policies as people would review them (`policies/*.xml`), and that no text of a request can change what they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.policy import api_policy, digest_of, literal, product_policy, requested_model_fragment
from shared.domain.request import AccessRequest, ModelAccess, TokenQuota, read_request
from tests.fakes.app import GPU, PATHS, Asked, a_catalog, path_of

POLICIES = Path(__file__).parent / "policies"

PLAIN = Asked().read()
FULL = replace(
    Asked(dedicated={"phi-4": GPU}, cost_center="CC-12345").read(),
    models=(
        ModelAccess("gpt-4.1", "foundry", 10_000, TokenQuota(1_000_000, "Monthly"), None),
        ModelAccess("phi-4", "kaito", 50_000, None, GPU),
    ),
    tokens_per_minute=55_000,
    daily_token_quota=2_000_000,
)
UNLIMITED = replace(PLAIN, models=(ModelAccess("text-embedding-3-large", "foundry", None, None, None),))

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


def golden() -> Iterator[tuple[str, str]]:
    yield "one-model.xml", product_policy(PLAIN)
    yield "limits-quotas-and-a-gpu.xml", product_policy(FULL)
    yield "no-limits.xml", product_policy(UNLIMITED)
    yield "unified-api.xml", api_policy(a_catalog())
    yield "requested-model.xml", requested_model_fragment()


@pytest.mark.parametrize(("name", "text"), list(golden()))
def test_a_policy_is_what_was_reviewed(name: str, text: str) -> None:
    assert text + "\n" == (POLICIES / name).read_text()


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
        code = [value for value in (*element.attrib.values(), element.text or "") if "@" in value or "{{" in value]
        rows.append((element.tag, tuple(sorted(element.attrib)), "".join(code)))
    return rows


def _without_cost_centre(policy: str) -> str:
    return "\n".join(line for line in policy.splitlines() if "Cost centre" not in line)


@given(display_name=TEXTS, owner=TEXTS, cost_center=st.one_of(st.none(), TEXTS))
def test_no_text_of_a_request_changes_the_structure_of_its_policy(display_name: str, owner: str, cost_center: str | None) -> None:
    policy = product_policy(replace(FULL, display_name=display_name, owner=owner, cost_center=cost_center))
    assert _shape(_without_cost_centre(policy)) == _shape(_without_cost_centre(product_policy(FULL)))


@given(cost_center=TEXTS)
def test_a_cost_centre_is_in_the_metric_only_when_it_is_harmless(cost_center: str) -> None:
    policy = product_policy(replace(FULL, cost_center=cost_center))
    values = [element.get("value") for element in ElementTree.fromstring(policy).iter("dimension") if element.get("name") == "Cost centre"]
    assert values in ([], [cost_center, cost_center])
    assert not values or not set(cost_center) & set("@{}()\"'<>&;\\")


@given(text=st.sampled_from(["@(1)", "{{x}}", '"', "a)b", "<x/>"]))
def test_a_team_or_model_that_could_be_code_is_never_compiled(text: str) -> None:
    model = replace(PLAIN.models[0], name=text)
    for request in (replace(PLAIN, team=text, tokens_per_minute=1), replace(PLAIN, models=(model,))):
        with pytest.raises(ValueError, match="not allowed in a policy"):
            product_policy(request)


def test_a_request_is_read_before_any_text_of_it_reaches_a_policy() -> None:
    text = Asked().text().replace("Team Alpha", "'@(1) {{x}} <y/>'")
    request = read_request(path_of("alpha"), text.encode(), a_catalog(), PATHS).request
    assert request is None or product_policy(request) == product_policy(PLAIN)


def test_a_day_or_an_owner_is_no_part_of_a_policy() -> None:
    assert product_policy(replace(PLAIN, expires=date(2030, 1, 1), owner="x@y.z")) == product_policy(PLAIN)


def test_each_model_and_the_team_are_limited_apart() -> None:
    counters = [element.attrib["counter-key"] for element in ElementTree.fromstring(product_policy(FULL)).iter("llm-token-limit")]
    assert counters == ["alpha", "alpha:gpt-4.1", "alpha:phi-4"]


def test_no_key_of_a_client_reaches_a_backend() -> None:
    inbound = ElementTree.fromstring(api_policy(a_catalog())).find("inbound")
    assert inbound is not None
    removed = {(element.tag, element.get("name")) for element in inbound if element.get("exists-action") == "delete"}
    assert removed == {("set-header", "api-key"), ("set-header", "Authorization"), ("set-query-parameter", "api-key")}


def _models(request: AccessRequest) -> list[str]:
    return [model.name for model in request.models]


def test_what_was_not_asked_for_is_refused() -> None:
    choose = ElementTree.fromstring(product_policy(FULL)).find("inbound/choose")
    assert choose is not None
    conditions = [element.attrib["condition"] for element in choose.findall("when")]
    assert conditions == [f'@((string)context.Variables["requested-model"] == "{name}")' for name in _models(FULL)]
    assert choose.find("otherwise/return-response/set-status") is not None


@pytest.mark.parametrize("text", [product_policy(FULL), api_policy(a_catalog())], ids=["product", "api"])
def test_the_digest_survives_another_way_of_writing_the_same(text: str) -> None:
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.attrib = dict(reversed(element.attrib.items()))
        element.text = f"\r\n\t {(element.text or '').strip()} \n" if element.text else element.text
    rewritten = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False).replace("<inbound>", "<inbound><!-- seen -->")
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
    text = product_policy(replace(FULL, tokens_per_minute=55_000))
    assert old in text
    assert digest_of(text.replace(old, new, 1)) == ""
