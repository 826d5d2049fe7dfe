"""What a catalogue that asks for Entra tokens means for clients that send their key as a bearer token."""

from __future__ import annotations

from collections.abc import Iterator

from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.problem import START, Problem, problem_at


def bearer_notices(path: str, before: ParsedCatalog | None, after: Catalog) -> Iterator[Problem]:
    """A notice at the catalogue's `path` where `entraTokens` is new: the second API goes. Nothing is known of
    the time before without its catalogue.
    """
    former = None if before is None else before.catalog
    if former is not None and former.bearer_way is not None and after.tokens is not None:
        message = (
            "With 'entraTokens' one header cannot hold a key and a token, so the API for keys as bearer "
            "tokens goes: clients that send their key so get 404."
        )
        yield problem_at(path, START, "NoBearerKeys", message, "notice")
