"""Every policy stands where API Management allows it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.catalog.catalog import Catalog, CatalogModel, Dedicated
from shared.kaito.presets import table
from shared.kaito.releases import RELEASES
from shared.names import FRAGMENT
from shared.policies.api_policy import api_policy
from shared.policies.policy_table import MAX_POLICY_BYTES, ONLY_AT, TABLE, Scope
from shared.policies.product_policy import product_policy, requested_model_fragment
from tests.fakes.app import GPU
from tests.policies.policy_cases import policy_texts
from tests.policies.strategies import catalogs, requests_of

#: Elements that hold policies; what stands in other elements is their configuration. So `set-body` is part of
#: `return-response`, also in `on-error`, where it is no policy.
HOLDERS = ("choose", "when", "otherwise", "retry")


def _policies(holder: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for element in holder:
        if element.tag not in ("when", "otherwise"):
            yield element
        if element.tag in HOLDERS:
            yield from _policies(element)


def _misplaced(text: str, scope: Scope) -> list[str]:
    """What stands where it may not. A fragment counts where it is included: in the inbound section of a
    product.
    """
    root = ElementTree.fromstring(text)
    found = []
    for section in root if root.tag == "policies" else [root]:
        tags = [element.tag for element in _policies(section)]
        where = "inbound" if section.tag == FRAGMENT or root.tag == "fragment" else section.tag
        found += [tag for tag in tags if where not in TABLE[tag].sections or ONLY_AT.get(tag, scope) != scope]
        found += [tag for tag in set(tags) if TABLE[tag].once and tags.count(tag) > 1]
    return found


@pytest.mark.parametrize("name", policy_texts())
def test_a_reviewed_policy_stands_where_it_may(name: str) -> None:
    assert _misplaced(policy_texts()[name], "api" if name.startswith("unified") else "product") == []


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_whatever_is_compiled_stands_where_it_may(data: st.DataObject) -> None:
    catalog = data.draw(catalogs())
    assert _misplaced(api_policy(catalog), "api") == []
    assert _misplaced(product_policy(data.draw(requests_of(catalog)), catalog), "product") == []


def test_a_policy_has_room_for_every_preset_of_a_release() -> None:
    """Each with GPUs of the teams' own; the longest policy is the unified API's."""
    presets = table(RELEASES[-1])
    assert presets is not None
    assert len(presets.presets) > 50
    own = Dedicated((GPU,), per_team=1, total=9)
    models = tuple(
        CatalogModel(name=f"own-{number}", provider="kaito", preset=name, dedicated=own)
        for number, name in enumerate(presets.presets)
    )
    assert len(api_policy(Catalog(models=models)).encode()) < 0.75 * MAX_POLICY_BYTES["premium"]


def test_the_table_has_no_row_that_nobody_needs() -> None:
    used = {
        element.tag for text in policy_texts().values() for element in ElementTree.fromstring(text).iter()
    }
    assert TABLE.keys() <= used
    assert _misplaced(requested_model_fragment(), "product") == []


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<policies><outbound><llm-token-limit /></outbound></policies>", "llm-token-limit"),
        (
            "<policies><inbound><choose><when><forward-request /></when></choose></inbound></policies>",
            "forward-request",
        ),
        ("<policies><inbound><cors /></inbound></policies>", "cors"),
        (
            (
                "<policies><inbound><llm-semantic-cache-lookup /><llm-semantic-cache-lookup "
                "/></inbound></policies>"
            ),
            "llm-semantic-cache-lookup",
        ),
    ],
)
def test_what_is_misplaced_is_seen(text: str, tag: str) -> None:
    assert _misplaced(text, "product") == [tag]
