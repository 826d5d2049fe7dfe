"""What is compiled against the XSDs that Microsoft's editor extension checks policies with."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.policies.api_policy import api_policy
from shared.policies.product_policy import product_policy
from standins.tests.reference.policies import document_flaws
from tests.policies.policy_cases import policy_texts
from tests.policies.strategies import catalogs, requests_of


@pytest.mark.parametrize("name", policy_texts())
def test_a_reviewed_policy_is_as_the_schemas_say(name: str) -> None:
    assert list(document_flaws(policy_texts()[name])) == []


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_any_catalogue_and_request_compile_to_what_the_schemas_allow(data: st.DataObject) -> None:
    catalog = data.draw(catalogs())
    request = data.draw(requests_of(catalog))
    assert list(document_flaws(api_policy(catalog))) == []
    assert list(document_flaws(product_policy(request, catalog))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('estimate-prompt-tokens="false"', ""),
        ("<set-variable name=", "<set-variables name="),
        ('count="4"', 'count="0"'),
        ('token-quota-period="Daily"', 'token-quota-period="Day"'),
        ('buffer-request-body="true"', 'buffer-request-body="yes"'),
    ],
)
def test_what_is_wrong_inside_a_condition_is_seen_too(old: str, new: str) -> None:
    texts = [text for text in policy_texts().values() if old in text]
    assert texts
    assert all(list(document_flaws(text.replace(old, new))) for text in texts)
