"""The gateway stand-in knows the texts that the compiler writes, and no others."""

from __future__ import annotations

import pytest

from shared.policies.expressions import EXPRESSIONS
from standins.gateway import expressions
from standins.gateway.compiler import compile_fragment, compile_policy
from standins.gateway.exchange import NotKnown
from tests.gateway.csharp_calls import CALLS, answered_here
from tests.policies.policy_cases import policy_texts

_POLICY = (
    "<policies><inbound>{}</inbound><backend>{}</backend><outbound><base /></outbound><on-error><base "
    "/></on-error></policies>"
)


def test_both_sides_have_the_same_texts_under_the_same_names() -> None:
    assert {name: text for name, (text, _) in expressions.EXPRESSIONS.items()} == EXPRESSIONS


@pytest.mark.parametrize("name", policy_texts())
def test_every_policy_that_people_have_read_can_be_executed(name: str) -> None:
    text = policy_texts()[name]
    if text.startswith("<fragment"):
        assert compile_fragment(text, "inbound")
    else:
        assert compile_policy(text).sections["inbound"]


@pytest.mark.parametrize(
    "element",
    [
        '<quota-by-key calls="1" renewal-period="300" counter-key="x" />',
        '<set-variable name="x" value="1" colour="red" />',
        '<set-variable name="x" value="@(1 + 1)" />',
        '<set-variable name="x" value="{{secret}}" />',
        '<set-variable name="@(0)" value="1" />',
        '<set-header name="x" exists-action="replace"><value>1</value></set-header>',
        '<set-header name="x" exists-action="delete"><value>1</value></set-header>',
        '<set-header name="x" exists-action="override"><value>1</value><colour /></set-header>',
        '<set-header name="x" exists-action="override" />',
        '<set-backend-service base-url="https://elsewhere.example" />',
        '<llm-token-limit counter-key="x" estimate-prompt-tokens="true" tokens-per-minute="1" />',
        (
            '<llm-token-limit counter-key="x" estimate-prompt-tokens="false" token-quota="1" '
            'token-quota-period="Fortnightly" />'
        ),
        (
            '<llm-token-limit counter-key="x" estimate-prompt-tokens="false" tokens-per-minute="1" '
            'tokens-consumed-header-name="y" />'
        ),
        '<llm-emit-token-metric namespace="x" />',
        '<authentication-managed-identity resource="x" client-id="y" />',
        '<validate-azure-ad-token tenant-id="x"><required-claims /></validate-azure-ad-token>',
        '<cors allow-credentials="true"><allowed-origins><origin>*</origin></allowed-origins></cors>',
        '<rewrite-uri template="/x/{deployment-id}" />',
        '<choose><when condition="@(true)" /></choose>',
        "<choose><unless /></choose>",
        "<choose><otherwise><base /></otherwise></choose>",
        '<return-response response-variable-name="x" />',
        '<rate-limit-by-key calls="@(0)" renewal-period="60" counter-key="x" />',
        '<rate-limit-by-key calls="many" renewal-period="60" counter-key="x" />',
        '<llm-content-safety backend-id="x" />',
        "text",
    ],
)
def test_what_the_stand_in_does_not_know_is_refused(element: str) -> None:
    with pytest.raises(NotKnown):
        compile_policy(_POLICY.format(element, "<base />"))


@pytest.mark.parametrize(
    "element",
    [
        '<forward-request timeout="5" />',
        '<retry condition="@(0)" count="1" interval="1" delta="2"><forward-request /></retry>',
    ],
)
def test_what_the_stand_in_does_not_know_of_calls_is_refused(element: str) -> None:
    with pytest.raises(NotKnown):
        compile_policy(_POLICY.format("<base />", element))


def test_a_policy_without_one_of_its_sections_is_refused() -> None:
    with pytest.raises(NotKnown):
        compile_policy("<policies><inbound><base /></inbound></policies>")


def test_every_expression_is_evaluated_and_few_may_fail() -> None:
    failed = []
    for call in CALLS:
        try:
            answered_here(call)
        except (KeyError, ValueError, IndexError):
            failed.append(call.expression)
    assert {call.expression for call in CALLS} == EXPRESSIONS.keys()
    assert set(failed) <= {"body", "requested model", "screened, with a key twice"}
