"""What the catalogue says in the course of a story: the same models, served by one backend or by pools, with
keys or without.
"""

from __future__ import annotations

from tests.fakes.app import catalog_text

_HEAD, _REST = catalog_text().split("  - name: gpt-4.1\n")
_FOUNDRY, _KAITO = "https://contoso-{}.openai.azure.com/openai/v1", "http://phi-4.{}.internal/v1"
_BREAKER = "    circuitBreaker: {failures: 3, interval: 60, trip: 30}\n"

_ALONE = f"    endpoint: {_FOUNDRY.format('ai')}\n"
_MOVED = f"    endpoint: {_FOUNDRY.format('eu')}\n"
_TWO = f"""\
    pool:
      - {{name: sweden, endpoint: {_FOUNDRY.format("se")}, weight: 70}}
      - {{name: france, endpoint: {_FOUNDRY.format("fr")}, weight: 30}}
"""
#: France has more to do, and there is a third one for when both fail.
_THREE = f"""\
    pool:
      - {{name: sweden, endpoint: {_FOUNDRY.format("se")}, weight: 40}}
      - {{name: france, endpoint: {_FOUNDRY.format("fr")}, weight: 60}}
      - {{name: spare, endpoint: {_FOUNDRY.format("ai")}, priority: 2}}
{_BREAKER}"""
#: Sweden under another name.
_RENAMED = f"""\
    pool:
      - {{name: nordic, endpoint: {_FOUNDRY.format("se")}, weight: 70}}
      - {{name: france, endpoint: {_FOUNDRY.format("fr")}, weight: 30}}
{_BREAKER}"""

_CLAUDE = "  - name: claude\n    provider: openai\n"
_NO_CLAUDE = ""
_CLAUDE_ALONE = f"{_CLAUDE}    endpoint: https://one.example/v1\n    credential: claude-one\n"
_CLAUDE_OTHER_KEY = f"{_CLAUDE}    endpoint: https://one.example/v1\n    credential: claude-two\n"
_CLAUDE_WITHOUT_KEY = f"{_CLAUDE}    endpoint: https://one.example/v1\n"
_CLAUDE_POOL = f"""\
{_CLAUDE}    pool:
      - {{name: one, endpoint: https://one.example/v1, credential: claude-one}}
      - {{name: two, endpoint: https://two.example/v1, credential: claude-two, priority: 2}}
"""
_CLAUDE_SAME_KEY = f"""\
{_CLAUDE}    pool:
      - {{name: one, endpoint: https://one.example/v1, credential: claude-one}}
      - {{name: three, endpoint: https://three.example/v1, credential: claude-one}}
"""

_PHI_POOL = f"""\
    pool:
      - {{name: cellar, endpoint: "{_KAITO.format("cellar")}"}}
      - {{name: attic, endpoint: "{_KAITO.format("attic")}"}}
"""


#: Room for everybody, whatever they ask for; and room for some of them.
_ROOMY = "    maxTokensPerMinute: 10000\n    capacity: 100000\n"
TIGHT = "    maxTokensPerMinute: 10000\n    capacity: 25000\n"
#: What there is of gpt-4.1 in the second case, for all teams and for one, in tokens per minute.
LIMIT, CEILING = 25_000, 10_000


def _counted(catalog: str, capacity: str) -> str:
    return catalog.replace("    maxTokensPerMinute: 100000\n", capacity)


def _written(served: str, claude: str, *, screened: bool = False) -> str:
    """`served` is what serves gpt-4.1; the head says what screens its prompts."""
    _, _, rest = _REST.partition("  - name: text-embedding-3-large\n")
    safety = (
        "contentSafety: {endpoint: https://contoso-safety.cognitiveservices.azure.com, threshold: 4}\n"
        if screened
        else ""
    )
    first = f"  - name: gpt-4.1\n    provider: foundry\n{served}    maxTokensPerMinute: 100000\n"
    return (
        f"{safety}{_HEAD}{first}{'    screened: true' + chr(10) if screened else ''}  - name: "
        f"text-embedding-3-large\n{rest}{claude}"
    )


def _configured(catalog: str, context: int) -> str:
    """With a configuration for the workspaces of phi-4: two of them differ in nothing that needs new ones."""
    return catalog.replace(
        "    preset: phi-4\n", f"    preset: phi-4\n    servedName: written\n    context: {context}\n"
    )


#: So many nodes may a workspace of phi-4 take, where a catalogue bounds them.
MOST_NODES = 2


def _bounded(catalog: str) -> str:
    return catalog.replace("    preset: phi-4\n", f"    preset: phi-4\n    maxNodes: {MOST_NODES}\n")


def bound_in(catalog: str) -> int | None:
    return MOST_NODES if f"    maxNodes: {MOST_NODES}\n" in catalog else None


def without_bound(catalog: str) -> str:
    return catalog.replace(f"    maxNodes: {MOST_NODES}\n", "")


def _mirrored(catalog: str) -> str:
    """With the keys as bearer tokens in mirrors of the subscriptions."""
    return catalog.replace("bearerKeys: false\n", "bearerKeys: mirrored\n")


#: Everything that requests ask for is in them, so that all of them can be granted.
COMPLETE = (
    _written(_ALONE, _CLAUDE_ALONE),
    _mirrored(_bounded(_configured(_written(_TWO, _CLAUDE_POOL), 8_192))),
    _counted(_written(_THREE, _CLAUDE_OTHER_KEY), _ROOMY),
    _bounded(
        _written(_RENAMED, _CLAUDE_SAME_KEY).replace(f"    endpoint: {_KAITO.format('shared')}\n", _PHI_POOL)
    ),
    _bounded(_configured(_counted(_written(_MOVED, _CLAUDE_WITHOUT_KEY, screened=True), _ROOMY), 16_384)),
)
#: From these some is missing: a model, the backend that serves phi-4 to all teams, or the room that a request
#: needs.
LACKING = (
    _bounded(_written(_THREE, _NO_CLAUDE)),
    _written(_TWO, _CLAUDE_POOL, screened=True).split("  - name: mistral-7b")[0],
    _written(_ALONE, _CLAUDE_POOL).replace(f"    endpoint: {_KAITO.format('shared')}\n", ""),
    _configured(
        _written(_TWO, _CLAUDE_ALONE).replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 5000"),
        16_384,
    ),
    _mirrored(_bounded(_counted(_written(_TWO, _CLAUDE_ALONE), TIGHT))),
    _counted(_written(_ALONE, _CLAUDE_ALONE), TIGHT),
)
CATALOGS = (*COMPLETE, *LACKING)
