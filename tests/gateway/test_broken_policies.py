"""Resource Manager's stand-in takes our policies, and refuses them with a small mistake in them."""

from __future__ import annotations

import re

import pytest

from standins.resource_manager.policy_document import PolicyError, parse
from tests.policies.policy_cases import policy_texts

TEXTS = policy_texts()


def _root(text: str) -> str:
    return "fragment" if text.startswith("<fragment") else "policies"


@pytest.mark.parametrize("name", TEXTS)
def test_a_reviewed_policy_is_taken(name: str) -> None:
    parse(TEXTS[name], raw=False, root=_root(TEXTS[name]))


#: A pattern in our policies, and what stands there instead.
MISTAKES = [
    # Elements
    ("<set-variable ", "<set-variables "),
    ("<base />", "<bases />"),
    ("<inbound>", "<inbound><inbound />"),
    ("<on-error>", "<on-err>"),
    ("<backend>\n", "<backend><base />\n"),
    ("<otherwise>", "<otherwise /><otherwise>"),
    ("<choose>\n", "<choose><otherwise />\n"),
    ("<choose>\n", "<choose />\n<choose>text\n"),
    ("<when ", "<whenever "),
    ("<set-status code", "<set-state code"),
    ("<allowed-origins>", "<allowed-origin>"),
    (r"<allowed-origins>.*?</allowed-origins>", ""),
    (r"<origin>.*?</allowed-origins>", "</allowed-origins>"),
    (r"<method>.*?</allowed-methods>", "</allowed-methods>"),
    ("<header>\\*</header>", "<headers>*</headers>"),
    ("<audience>", "<audience><audience />"),
    (r"<audience>.*?</audience>", ""),
    (r"<categories.*?>", r"<category name='Hate' threshold='1' />\g<0>"),
    (r"(?:<dimension [^>]*/>\s*)+", ""),
    (r"(<dimension [^>]*/>)", r"\1\1\1\1\1\1"),
    ("<vary-by>", "<vary>"),
    ("<inbound>\n", "<inbound>text\n"),
    ("<value>application/json</value>", "<value><value /></value>"),
    (r"(<set-status[^>]*>)(.*?)(<set-body>.*?</set-body>)", r"\3\1\2"),
    (r"(<set-body>.*?</set-body>)(\s*</return-response>)", r"\1\1\2"),
    # Attributes
    ('counter-key="[^"]*"', ""),
    ('estimate-prompt-tokens="[^"]*"', ""),
    ('tokens-per-minute="[^"]*"', 'tokens-per-minutes="1"'),
    ('token-quota-period="[^"]*"', ""),
    ('token-quota="[^"]*"', ""),
    ('calls="[^"]*"', ""),
    ('renewal-period="[^"]*"', ""),
    ('fragment-id="[^"]*"', ""),
    ('(<set-variable) name="[^"]*"', r"\1"),
    ('(<set-variable) name="[^"]*"', r'\1 name=""'),
    ('(<set-variable name="[^"]*") value="[^"]*"', r"\1"),
    ('(<set-header) name="[^"]*"', r"\1"),
    ('(<when) condition="[^"]*"', r"\1"),
    ('backend-id="[^"]*"', ""),
    ('backend-id="[^"]*"', 'backend-id=""'),
    ('backend-id="[^"]*"', 'backend="x"'),
    ('(<set-backend-service) ', r'\1 base-url="https://x" '),
    ('template="[^"]*"', ""),
    ('resource="[^"]*"', ""),
    ('tenant-id="[^"]*"', ""),
    ('condition="[^"]*" count', "count"),
    ('count="[^"]*"', ""),
    ('interval="[^"]*"', ""),
    ('duration="[^"]*"', ""),
    ('score-threshold="[^"]*"', ""),
    ('embeddings-backend-id="[^"]*"', ""),
    ('threshold="4"', ""),
    ('<set-status code="[^"]*"', "<set-status"),
    ('(<base) />', r'\1 colour="red" />'),
    ('(<forward-request )', r'\1colour="red" '),
    ('(<return-response)>', r'\1 colour="red">'),
    ('(<set-body)>', r'\1 colour="red">'),
    ("<policies>", '<policies colour="red">'),
    ("<inbound>", '<inbound colour="red">'),
    ("<fragment>", '<fragment colour="red">'),
    ('(<dimension [^>]*) value="[^"]*"', r"\1"),
    # Values
    ("<method>POST</method>", "<method />"),
    ("<origin>[^<]*</origin>", "<origin></origin>"),
    ("<audience>[^<]*</audience>", "<audience />"),
    ("<policies>\n", "<policies>text\n"),
    ('(<set-variable) name="[^"]*"', r'\1 name="@(1)"'),
    ('fragment-id="[^"]*"', 'fragment-id="@(1)"'),
    ('estimate-prompt-tokens="false"', 'estimate-prompt-tokens="@(true)"'),
    ('exists-action="override"', 'exists-action="replace"'),
    ('exists-action="delete"', 'exists-action="remove"'),
    ('exists-action="delete" />', 'exists-action="override" />'),
    ('exists-action="override">', 'exists-action="delete">'),
    ('estimate-prompt-tokens="false"', 'estimate-prompt-tokens="no"'),
    ('tokens-per-minute="[^"]*"', 'tokens-per-minute="many"'),
    ('tokens-per-minute="[^"]*"', 'tokens-per-minute="-1"'),
    ('token-quota="[^"]*"', 'token-quota="1.5"'),
    ('token-quota-period="[^"]*"', 'token-quota-period="Fortnightly"'),
    ('token-quota-period="[^"]*"', 'token-quota-period="daily"'),
    ('calls="[^"]*"', 'calls="0"'),
    ('renewal-period="[^"]*"', 'renewal-period="301"'),
    ('renewal-period="[^"]*"', 'renewal-period="PT1M"'),
    ('count="4"', 'count="0"'),
    ('count="4"', 'count="51"'),
    ('interval="1"', 'interval="-1"'),
    ('first-fast-retry="true"', 'first-fast-retry="fast"'),
    ('buffer-request-body="true"', 'buffer-request-body="yes"'),
    ('buffer-response="false"', 'buffer-response=""'),
    ('copy-unmatched-params="false"', 'copy-unmatched-params="none"'),
    ('allow-credentials="false"', 'allow-credentials="never"'),
    ('preflight-result-max-age="300"', 'preflight-result-max-age="5 minutes"'),
    ('failed-validation-httpcode="401"', 'failed-validation-httpcode="four"'),
    ('shield-prompt="true"', 'shield-prompt="on"'),
    ('output-type="[^"]*"', 'output-type="NineSeverityLevels"'),
    ('name="Violence"', 'name="Rudeness"'),
    ('threshold="4"', 'threshold="8"'),
    ('score-threshold="[^"]*"', 'score-threshold="1.5"'),
    ('embeddings-backend-auth="[^"]*"', 'embeddings-backend-auth="somehow"'),
    ('duration="600"', 'duration="ten minutes"'),
    ('<set-status code="403"', '<set-status code="forbidden"'),
    ('<set-status code="403"', '<set-status code="99"'),
    ('condition="[^"]*"', 'condition="yes"'),
    ('condition="@[^"]*"', 'condition="@("'),
    ('condition="@[^"]*"', 'condition="@()"'),
    ('condition="@[^"]*"', 'condition="@(x[1)]"'),
    ('condition="@[^"]*"', 'condition="@{ var x = 1; }"'),
    # Places
    ("<outbound>\n", '<outbound><llm-content-safety backend-id="x" />\n'),
    ("<outbound>\n", '<outbound><llm-emit-token-metric><dimension name="x" /></llm-emit-token-metric>\n'),
    ("<outbound>\n", '<outbound><rate-limit-by-key calls="1" renewal-period="60" counter-key="x" />\n'),
    ("<outbound>\n", '<outbound><rewrite-uri template="/x" />\n'),
    ("<outbound>\n", '<outbound><set-query-parameter name="x" exists-action="delete" />\n'),
    ("<on-error>\n", "<on-error><set-body>x</set-body>\n"),
    ("<on-error>\n", '<on-error><set-backend-service backend-id="x" />\n'),
    ("<inbound>\n", "<inbound><forward-request />\n"),
    ("<inbound>\n", '<inbound><llm-semantic-cache-store duration="1" />\n'),
    ("<return-response>\n", "<return-response><base />\n"),
    ("<return-response>\n", '<return-response><set-variable name="x" value="1" />\n'),
    ("<fragment>\n", "<fragment><base />\n"),
    ("<fragment>\n", '<fragment><include-fragment fragment-id="x" />\n'),
    ("</fragment>", "<inbound /></fragment>"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "instead"), MISTAKES)
def test_a_policy_with_a_mistake_is_refused(pattern: str, instead: str) -> None:
    """In each of our policies that the mistake can be made in."""
    found = {name for name, text in TEXTS.items() if re.search(pattern, text, re.DOTALL)}
    assert found
    for name in found:
        broken = re.sub(pattern, instead, TEXTS[name], count=1, flags=re.DOTALL)
        with pytest.raises(PolicyError):
            parse(broken, raw=False, root=_root(broken))
