"""What a catalogue with Entra tokens means for keys as bearer tokens."""

from __future__ import annotations

import pytest

from shared.branch.bearer_notices import bearer_notices
from shared.catalog.catalog import ParsedCatalog, read_catalog

MODELS = "models: [{name: a, provider: foundry, endpoint: 'https://a.example/openai/v1'}]\n"
TOKENS = "entraTokens: {tenant: 5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10, audience: api://a}\n"


def _read(text: str) -> ParsedCatalog:
    found = read_catalog("c.yaml", text.encode())
    assert found.problems == ()
    return found


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (MODELS, MODELS + TOKENS, ["NoBearerKeys"]),
        (MODELS, MODELS, []),
        (MODELS + TOKENS, MODELS + TOKENS, []),
        (MODELS + "bearerKeys: false\n", MODELS + TOKENS, []),
        (MODELS + TOKENS, MODELS, []),
        (None, MODELS + TOKENS, []),
    ],
)
def test_the_api_for_bearer_keys_is_missed_where_tokens_are_new(
    before: str | None, after: str, reasons: list[str]
) -> None:
    former, catalog = None if before is None else _read(before), _read(after).catalog
    assert catalog is not None
    assert [each.reason for each in bearer_notices("c.yaml", former, catalog)] == reasons
