"""The table of `docs/clients.md`: which client can do what, with which kind of key. A cell that says no has
its reason; tests fill each cell with a real client and compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from tests.gateway.clients import CLIENTS, EXPECTED

WAYS = ("key", "bearer")
#: In JavaScript: the client -> the class of the package `openai`.
IN_JAVASCRIPT = {
    "openai for JavaScript, OpenAI": "OpenAI",
    "openai for JavaScript, AzureOpenAI": "AzureOpenAI",
}
ALL = (*CLIENTS, *IN_JAVASCRIPT)

_NO_CALL = "The client has no such call."
_ELSEWHERE = (
    "LiteLLM asks `/v1/models` at the host, without the path of the base URL; calls do not need its list."
)
_IN_BODY = (
    "For pictures LiteLLM writes `extra_headers` and `azure_ad_token` into the body, which Azure refuses. "
    "Use the other kind of key."
)
_NO_TOKEN = "For completions LiteLLM takes no token of Azure's: use the header `api-key`."
#: Client -> way, or both -> verb -> why it cannot. The tests see that it cannot.
LACKS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("LangChain, OpenAI", ""): dict.fromkeys(("models", "images"), _NO_CALL),
    ("LangChain, Azure", ""): dict.fromkeys(("models", "images"), _NO_CALL),
    ("LiteLLM, openai", ""): {"models": _ELSEWHERE},
    ("LiteLLM, openai", "key"): {"images": _IN_BODY},
    ("LiteLLM, azure", ""): {"models": _NO_CALL},
    ("LiteLLM, azure", "bearer"): {"completions": _NO_TOKEN, "images": _IN_BODY},
    ("pydantic-ai", ""): dict.fromkeys(("models", "completions", "images"), _NO_CALL),
}


def reasons(client: str, way: str) -> Mapping[str, str]:
    """Why the client cannot do some verbs, by verb."""
    return {**LACKS.get((client, ""), {}), **LACKS.get((client, way), {})}


def failures(found: Mapping[str, object]) -> dict[str, object]:
    """What came of the verbs whose calls did not come to what they should; None where there is no call."""
    return {verb: found.get(verb) for verb, wanted in EXPECTED.items() if found.get(verb) != wanted}


def as_the_table_says(client: str, found: Mapping[str, Mapping[str, object]]) -> bool:
    """Fails with what is different. `found` is what `clients.seen` returns."""
    failed = {way: failures(results) for way, results in found.items()}
    told = {way: set(reasons(client, way)) for way in found}
    assert {way: set(each) for way, each in failed.items()} == told, json.dumps(failed, indent=1)
    return True


def rendered() -> str:
    """The table, and below it the reasons by number."""
    told = list(dict.fromkeys(reason for each in LACKS.values() for reason in each.values()))
    lines = [_row("client", "key as", *EXPECTED), _row(*["---"] * (len(EXPECTED) + 2))]
    lines += [
        _row(client, "`api-key`" if way == "key" else "bearer", *_cells(client, way, told))
        for client in ALL
        for way in WAYS
    ]
    notes = [f"{number}. {reason}" for number, reason in enumerate(told, 1)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _cells(client: str, way: str, told: list[str]) -> Iterator[str]:
    lacking = reasons(client, way)
    for verb in EXPECTED:
        yield f"no ({told.index(lacking[verb]) + 1})" if verb in lacking else "yes"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
