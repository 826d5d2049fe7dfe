"""The catalogue: what it offers, and what never gets through it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.catalog import (
    Breaker,
    Catalog,
    CatalogModel,
    ContentSafety,
    Dedicated,
    EntraTokens,
    Member,
    Price,
    Retirement,
    SemanticCache,
    SharedWorkspace,
    read_catalog,
)
from shared.documents.secret_detection import looks_like_a_key
from tests.branch.golden import catalog_file

SHARED = catalog_file().content
#: Invented, in the forms that real ones have.
KEYS = [
    ("OpenAI", "sk-proj-hunter2hunter2hunter2"),
    ("Anthropic", "sk-ant-api03-hunter2_hunter2-hunter2"),
    ("Hugging Face", "hf_hunterhunterhunterhunter"),
    ("Azure", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("AWS", "AKIAHUNTERHUNTER22"),
    ("a token", "eyJhbGciOiJIUzI1NiJ9"),
]


def _reasons(text: str) -> list[str]:
    return [problem.reason for problem in read_catalog("c.yaml", text.encode()).problems]


def test_a_catalogue_is_read_sorted_by_name() -> None:
    catalog = read_catalog("c.yaml", SHARED).catalog
    assert catalog is not None
    assert [model.name for model in catalog.models] == [
        "falcon-7b",
        "gpt-4.1",
        "gpt-4.1-mini",
        "mistral-7b",
        "phi-4",
    ]
    assert catalog.model("phi-4") == CatalogModel(
        name="phi-4",
        provider="kaito",
        members=(Member("http://phi-4.kaito-shared.example.internal/v1", "phi-4"),),
        private=True,
        preset="phi-4",
        max_tokens_per_minute=200_000,
        dedicated=Dedicated(("Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"), per_team=1, total=1),
    )


def test_a_model_knows_its_slug_and_a_missing_model_is_none() -> None:
    catalog = read_catalog("c.yaml", SHARED).catalog
    assert catalog is not None
    model = catalog.model("gpt-4.1")
    assert model is not None
    assert model.slug == "gpt-4-1"
    assert catalog.model("gpt-9") is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://contoso.example",
        "https://contoso.example/v1/",
        "https://contoso.example/v1?api-version=1",
        "https://user:secret@contoso.example/v1",
        "https://contoso.example/{{secret}}/v1",
        "https://contoso.example/@(1)/v1",
        "ftp://contoso.example/v1",
        "https://contoso.example:port/v1",
        "http://contoso.example/v1",
        'https://contoso.example/"/v1',
    ],
)
def test_a_foundry_endpoint_is_a_clean_https_base_url(endpoint: str) -> None:
    assert _reasons(f"models: [{{name: gpt, provider: foundry, endpoint: {endpoint!r}}}]") == ["BadUrl"]


@pytest.mark.parametrize("key", ["apiKey", "key", "password", "token", "connectionString"])
def test_a_secret_has_no_place_in_the_catalogue_and_is_not_repeated(key: str) -> None:
    verdict = read_catalog(
        "c.yaml",
        (
            f"models: [{{name: gpt, provider: foundry, endpoint: https://a.example/v1, {key}: hunter2}}]"
        ).encode(),
    )
    assert [problem.reason for problem in verdict.problems] == ["UnknownKey"]
    assert "hunter2" not in str(verdict)


FULL = b"""
currency: EUR
nodePrice: {Standard_NC24ads_A100_v4: 3.67}
overCommitment: 2.5
contentSafety: {endpoint: https://contoso-safety.cognitiveservices.azure.com, threshold: 4}
semanticCache: {embeddings: ada, score: 0.05, seconds: 600}
entraTokens: {tenant: 5F8D0D55-1c3e-4f7a-9b5e-2a6c8e4d7b10, audience: api://mergekey}
origins: [https://chat.contoso.com]
models:
  - name: gpt-4.1
    provider: foundry
    pool:
      - {name: sweden, endpoint: https://a.example/openai/v1, servedName: gpt-se, weight: 90}
      - {name: france, endpoint: https://b.example/openai/v1, servedName: gpt-se, weight: 10}
      - {name: spain, endpoint: https://c.example/openai/v1, servedName: gpt-se, priority: 2}
      - {name: italy, endpoint: https://d.example/openai/v1, servedName: gpt-se, priority: 2}
    circuitBreaker: {failures: 3, interval: 60, trip: 30}
    retries: 2
    fallback: claude
    price: {prompt: 2.00, completion: "8.40"}
    maxTokensPerMinute: 100000
    capacity: 500000
    retiresOn: 2027-03-31
    successor: claude
    cached: true
    screened: true
    aliases: [chat-default, azure/best]
  - {name: claude, provider: openai, endpoint: https://e.example/v1, credential: anthropic-key}
  - {name: embeddings, provider: openai, endpoint: "http://10.0.0.4:11434/v1", private: true, dataClasses: \
[restricted, internal]}
  - {name: ada, provider: foundry, endpoint: https://f.example/openai/v1, serves: [embeddings]}
  - name: phi-4
    provider: kaito
    preset: phi-4
    accessSecret: hugging-face
    shared: {instanceType: Standard_NC24ads_A100_v4}
"""


def test_everything_that_a_catalogue_can_say_is_read() -> None:
    catalog = read_catalog("c.yaml", FULL).catalog
    assert catalog is not None
    assert asdict(catalog) == asdict(
        Catalog(
            models=(
                CatalogModel(
                    "ada",
                    "foundry",
                    (Member("https://f.example/openai/v1", "ada"),),
                    serves=frozenset({"embeddings"}),
                ),
                CatalogModel(
                    "claude",
                    "openai",
                    (Member("https://e.example/v1", "claude", credential="anthropic-key"),),
                    serves=frozenset({"chat", "tools", "embeddings", "completions"}),
                ),
                CatalogModel(
                    name="embeddings",
                    provider="openai",
                    members=(Member("http://10.0.0.4:11434/v1", "embeddings"),),
                    data_classes=frozenset({"restricted", "internal"}),
                    private=True,
                    serves=frozenset({"chat", "tools", "embeddings", "completions"}),
                ),
                CatalogModel(
                    name="gpt-4.1",
                    provider="foundry",
                    members=(
                        Member("https://a.example/openai/v1", "gpt-se", "sweden", 90),
                        Member("https://b.example/openai/v1", "gpt-se", "france", 10),
                        Member("https://c.example/openai/v1", "gpt-se", "spain", 50, 2),
                        Member("https://d.example/openai/v1", "gpt-se", "italy", 50, 2),
                    ),
                    breaker=Breaker(3, 60, 30),
                    retries=2,
                    fallback="claude",
                    price=Price(Decimal("2.0"), Decimal("8.40")),
                    max_tokens_per_minute=100_000,
                    capacity=500_000,
                    retirement=Retirement(date(2027, 3, 31), "claude"),
                    cached=True,
                    screened=True,
                    serves=frozenset({"chat", "tools", "completions"}),
                    aliases=("azure/best", "chat-default"),
                ),
                CatalogModel(
                    name="phi-4",
                    provider="kaito",
                    private=True,
                    preset="phi-4",
                    access_secret="hugging-face",
                    shared=SharedWorkspace("Standard_NC24ads_A100_v4"),
                ),
            ),
            currency="EUR",
            over_commitment=Decimal("2.5"),
            content_safety=ContentSafety("https://contoso-safety.cognitiveservices.azure.com", 4),
            cache=SemanticCache("ada", Decimal("0.05"), 600),
            tokens=EntraTokens("5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10", "api://mergekey"),
            origins=("https://chat.contoso.com",),
            node_price={"Standard_NC24ads_A100_v4": Decimal("3.67")},
        )
    )


def test_prices_of_nodes_need_a_currency() -> None:
    text = FULL.replace(b"currency: EUR\n", b"").replace(
        b'    price: {prompt: 2.00, completion: "8.40"}\n', b""
    )
    [problem] = read_catalog("c.yaml", text).problems
    assert (problem.reason, problem.line) == ("MissingKey", 2)


def test_each_backend_of_a_pool_has_its_own_key() -> None:
    pool = [
        {"name": name, "endpoint": f"https://{name}.example/v1", "credential": f"key-of-{name}"}
        for name in "ab"
    ]
    catalog = read_catalog(
        "c.yaml", json.dumps({"models": [{"name": "m", "provider": "openai", "pool": pool}]}).encode()
    ).catalog
    assert catalog is not None
    assert [member.credential for member in catalog.models[0].members] == ["key-of-a", "key-of-b"]
    assert catalog.over_commitment == 1


def test_a_shared_workspace_serves_all_and_a_dedicated_one_does_not() -> None:
    catalog = read_catalog("c.yaml", SHARED).catalog
    full = read_catalog("c.yaml", FULL).catalog
    assert catalog is not None
    assert full is not None
    assert [model.name for model in catalog.models if not model.serves_all] == ["falcon-7b"]
    assert all(model.serves_all for model in full.models)


@given(st.decimals(0, 1_000_000, places=6))
def test_a_price_is_what_is_written(price: Decimal) -> None:
    for written in (f"{price:f}", f'"{price:f}"'):
        found = read_catalog("c.yaml", FULL.replace(b"2.00", written.encode())).catalog
        assert found is not None
        model = found.model("gpt-4.1")
        assert model is not None
        assert model.price is not None
        assert model.price.prompt == price


@pytest.mark.parametrize("secret", [case[1] for case in KEYS], ids=[case[0] for case in KEYS])
@pytest.mark.parametrize(
    "key",
    [
        "credential",
        "servedName",
        "endpoint",
        "provider",
        "price",
        "capacity",
        "name",
        "fallback",
        "retiresOn",
    ],
)
def test_a_key_that_was_written_anywhere_is_refused_and_not_repeated(secret: str, key: str) -> None:
    entry = {"name": "claude", "provider": "openai", "endpoint": "https://e.example/v1", key: secret}
    verdict = read_catalog("c.yaml", json.dumps({"models": [entry]}).encode())
    assert verdict.problems
    assert secret not in str(verdict)


@pytest.mark.parametrize(
    "text",
    [
        "gpt-4.1-mini-2025-04-14",
        "contoso-openai-key",
        "text-embedding-3-large",
        "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    ],
)
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert not looks_like_a_key(text)


@pytest.mark.parametrize(
    ("served", "fault"),
    [
        ({"provider": "foundry", "endpoint": "https://e.example/openai/v1"}, None),
        ({"provider": "foundry", "endpoint": "https://e.example/v1"}, "NotAllowed"),
        ({"provider": "openai", "endpoint": "https://e.example/openai/v1"}, "NotAllowed"),
        (
            {
                "provider": "foundry",
                "pool": [{"name": n, "endpoint": f"https://{n}.example/openai/v1"} for n in "ab"],
            },
            "NotAllowed",
        ),
        (
            {
                "provider": "kaito",
                "preset": "phi-4",
                "dedicated": {"instanceTypes": ["Standard_NC24ads_A100_v4"], "total": 1},
            },
            "NotAllowed",
        ),
    ],
)
def test_prompts_are_compared_by_one_deployment_of_foundry(
    served: dict[str, object], fault: str | None
) -> None:
    catalog = {
        "semanticCache": {"embeddings": "m", "score": 0.1, "seconds": 60},
        "models": [{"name": "m", **served}],
    }
    assert [problem.reason for problem in read_catalog("c.yaml", json.dumps(catalog).encode()).problems] == (
        [fault] if fault else []
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_loop_of_fallbacks_is_told_at_each_of_its_models_and_a_way_into_it_is_none(length: int) -> None:
    models = [f"m{number}" for number in range(length)]
    ways = dict(zip(models, [*models[1:], models[0]], strict=True)) | {"outside": "m0"}
    entries = [
        {"name": name, "provider": "openai", "endpoint": "https://e.example/v1", "fallback": to}
        for name, to in ways.items()
    ]
    found = read_catalog("c.yaml", json.dumps({"models": entries}).encode()).problems
    assert [problem.reason for problem in found] == ["FallbackLoop"] * length


def test_a_fallback_for_fewer_data_classes_is_refused_with_all_that_are_missing() -> None:
    entry = {"provider": "openai", "endpoint": "https://e.example/v1"}
    wide = {
        **entry,
        "name": "wide",
        "fallback": "narrow",
        "dataClasses": ["public", "internal", "confidential"],
    }
    content = json.dumps({"models": [wide, {**entry, "name": "narrow", "dataClasses": ["public"]}]})
    [problem] = read_catalog("c.yaml", content.encode()).problems
    assert problem.reason == "BadFallback"
    for part in ("'narrow'", "'wide'", "confidential", "internal"):
        assert part in problem.message
    assert "public" not in problem.message


def test_a_credential_beside_a_pool_is_told_once() -> None:
    pool = [{"name": name, "endpoint": f"https://{name}.example/v1"} for name in "ab"]
    entry = {"name": "m", "provider": "openai", "credential": "key", "pool": pool}
    [problem] = read_catalog("c.yaml", json.dumps({"models": [entry]}).encode()).problems
    assert problem.reason == "NotAllowed"
    assert "'credential' and 'pool'" in problem.message


@pytest.mark.parametrize(("port", "fault"), [(0, True), (1, False), (65535, False), (65536, True)])
def test_a_port_is_one_that_there_is(port: int, fault: bool) -> None:
    entry = {"name": "claude", "provider": "openai", "endpoint": f"https://e.example:{port}/v1"}
    assert bool(read_catalog("c.yaml", json.dumps({"models": [entry]}).encode()).problems) == fault


@pytest.mark.parametrize(
    ("written", "fault"),
    [(1, False), (100, False), (100.5, True), (0.5, True), ("2.50", False), (True, True), ("ten", True)],
)
def test_over_commitment_is_a_number_within_its_bounds(written: object, fault: bool) -> None:
    text = json.dumps(
        {
            "overCommitment": written,
            "models": [{"name": "m", "provider": "openai", "endpoint": "https://e.example/v1"}],
        }
    )
    assert bool(read_catalog("c.yaml", text.encode()).problems) == fault


def test_a_long_run_is_a_key_from_four_digits_on_and_never_when_it_is_a_number() -> None:
    letters = "contosoPolicyForTheWholeYear"
    runs = {4: "1234" + letters[4:], 3: "123" + letters[3:], len(letters): "1" * len(letters)}
    assert {digits: looks_like_a_key(run) for digits, run in runs.items()} == {
        4: True,
        3: False,
        len(letters): False,
    }
    assert not looks_like_a_key(runs[4][:-1])


_nasty = st.text("abc.-/:_{}@()<>\"'&; \u00e9", max_size=12)
_SAFE = re.compile(r"[A-Za-z0-9._:/~\[\]-]+")


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _texts(inner))
    elif isinstance(value, list | tuple | frozenset):
        yield from (text for inner in value for text in _texts(inner))


_MODEL = {
    "name": "model",
    "provider": "openai",
    "private": True,
    "endpoint": "https://a.example/v1",
    "servedName": "served",
    "credential": "secret-name",
    "fallback": "other",
    "retiresOn": "2027-03-31",
    "successor": "other",
    "aliases": ["another"],
}
_OTHER = {
    "name": "other",
    "provider": "kaito",
    "preset": "phi-4",
    "accessSecret": "hugging-face",
    "pool": [
        {"name": "one", "endpoint": "http://one.internal/v1", "servedName": "x"},
        {"name": "two", "endpoint": "http://two.internal/v1", "servedName": "x"},
    ],
}
_WHOLE = {
    "currency": "EUR",
    "contentSafety": {"endpoint": "https://safety.example", "threshold": 1},
    "semanticCache": {"embeddings": "ada", "score": 0.1, "seconds": 1},
    "entraTokens": {"tenant": "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10", "audience": "api://a"},
    "origins": ["https://a.example"],
    "models": [
        _MODEL,
        _OTHER,
        {"name": "ada", "provider": "foundry", "endpoint": "https://a.example/openai/v1"},
    ],
}


def _places(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str):
        yield way
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from _places(inner, (*way, key))


@given(st.data(), _nasty)
def test_nothing_that_a_policy_would_evaluate_survives(data: st.DataObject, nasty: str) -> None:
    written = json.loads(json.dumps(_WHOLE))
    *way, last = data.draw(st.sampled_from(list(_places(_WHOLE))))
    place = written
    for step in way:
        place = place[step]
    cut = data.draw(st.integers(0, len(place[last])))
    place[last] = place[last][:cut] + nasty + place[last][cut:]
    catalog = read_catalog("c.yaml", json.dumps(written).encode()).catalog
    for text in _texts(asdict(catalog)) if catalog else ():
        assert text == "" or _SAFE.fullmatch(text), text


def test_the_catalogue_of_that_property_is_a_valid_one() -> None:
    assert read_catalog("c.yaml", json.dumps(_WHOLE).encode()).problems == ()


@given(
    st.binary(max_size=100)
    | st.integers(0, len(SHARED)).map(lambda cut: SHARED[:cut] + SHARED[cut + 3 :])
    | st.tuples(st.integers(0, len(FULL)), st.integers(1, 40), st.binary(max_size=3)).map(
        lambda a: FULL[: a[0]] + a[2] + FULL[a[0] + a[1] :]
    )
)
def test_there_is_a_catalogue_exactly_when_only_workspaces_have_problems(content: bytes) -> None:
    verdict = read_catalog("c.yaml", content)
    faults = {problem for _, problem in verdict.faults}
    assert (verdict.catalog is None) == bool(set(verdict.problems) - faults)


@pytest.mark.parametrize(
    ("price", "reason", "place", "named"),
    [
        ("{nonsense!: 1}", "BadInstanceType", (2, 13), "'nodePrice.nonsense!'"),
        ("{Standard_NC24ads_A100_v4: dear}", "BadAmount", (2, 39), "'nodePrice.Standard_NC24ads_A100_v4'"),
    ],
)
def test_a_wrong_price_of_a_node_is_found_at_its_key_or_its_value(
    price: str, reason: str, place: tuple[int, int], named: str
) -> None:
    text = f"currency: EUR\nnodePrice: {price}\nmodels: [{{name: a, provider: foundry, endpoint: https://a.b/v1}}]\n"
    [problem] = read_catalog("c.yaml", text.encode()).problems
    assert (problem.reason, (problem.line, problem.column)) == (reason, place)
    assert problem.message.startswith(named)


def _served(text: str, release: str = "0.12") -> str:
    catalog = (
        f'kaito: "{release}"\nmodels:\n'
        f"  - {{name: gemma, provider: kaito, preset: gemma-3-4b-instruct, {text}"
        "dedicated: {instanceTypes: [Standard_NC24ads_A100_v4], total: 1}}\n"
    )
    parsed = read_catalog("model_catalog.yaml", catalog.encode())
    assert parsed.catalog is not None
    return parsed.catalog.models[0].served_name


@pytest.mark.parametrize(
    ("written", "served"),
    [
        ("", "gemma-3-4b-instruct"),
        ("servedName: written, ", "gemma"),
        ("servedName: preset, ", "gemma-3-4b-it"),
        ("servedName: gemma-team, ", "gemma-team"),
    ],
)
def test_the_catalogue_says_what_a_workspace_calls_its_model(written: str, served: str) -> None:
    assert _served(written) == served


@pytest.mark.parametrize(
    ("release", "preset", "served"),
    [
        ("0.9", "phi-4", "phi-4"),
        ("0.9", "Own/Model-X", "Own/Model-X"),
        ("0.12", "Own/Model-X", "model-x"),
        ("0.12", "Qwen/Qwen3.5-4B", "qwen3.5-4b"),
    ],
)
def test_the_name_of_a_preset_is_never_the_word_that_asks_for_it(
    release: str, preset: str, served: str
) -> None:
    catalog = (
        f'kaito: "{release}"\nmodels:\n'
        f"  - {{name: mine, provider: kaito, preset: {preset}, servedName: preset, maxNodes: 1,\n"
        "     endpoint: http://mine.internal/v1,\n"
        "     dedicated: {instanceTypes: [Standard_NC24ads_A100_v4], total: 1}}\n"
    )
    parsed = read_catalog("model_catalog.yaml", catalog.encode())
    assert parsed.catalog is not None
    model = parsed.catalog.models[0]
    assert {model.served_name, *(member.served_name for member in model.members)} == {served}


def test_beside_an_endpoint_a_text_is_the_endpoints_name_for_the_model() -> None:
    parsed = read_catalog(
        "model_catalog.yaml",
        b"models:\n  - {name: mine, provider: kaito, preset: phi-4, servedName: phi-four,\n"
        b"     endpoint: http://mine.internal/v1,\n"
        b"     dedicated: {instanceTypes: [Standard_NC24ads_A100_v4], total: 1}}\n",
    )
    assert parsed.catalog is not None
    model = parsed.catalog.models[0]
    assert (model.served_name, model.workspace_name) == ("phi-four", "phi-4")


def test_where_nothing_is_known_of_a_release_a_preset_has_its_own_name() -> None:
    assert _served("servedName: preset, ", release="0.9") == "gemma-3-4b-instruct"


_USUAL = "chat completions embeddings responses tools"


@pytest.mark.parametrize(
    ("entry", "release", "serves"),
    [
        ("provider: foundry", "", _USUAL),
        ("provider: openai", "", "chat completions embeddings tools"),
        ("provider: kaito, preset: phi-4", "", _USUAL),
        ("provider: kaito, preset: phi-4", "0.12", "chat completions responses"),
        ("provider: kaito, preset: phi-4, toolParser: hermes", "0.12", "chat completions responses tools"),
        ("provider: kaito, preset: my/own", "0.12", _USUAL),
        ("provider: kaito, preset: phi-4, serves: [tools, chat]", "0.12", "chat tools"),
        ("provider: foundry, serves: [images]", "", "images"),
    ],
)
def test_what_a_model_serves_is_said_or_known_by_provider_and_preset(
    entry: str, release: str, serves: str
) -> None:
    at = "http://a.internal/v1" if "kaito" in entry else "https://a.example/openai/v1"
    text = f'models: [{{name: mine, endpoint: "{at}", {entry}}}]\n'
    text = f'kaito: "{release}"\n{text}' if release else text
    catalog = read_catalog("c.yaml", text.encode()).catalog
    assert catalog is not None
    assert sorted(catalog.models[0].serves) == serves.split()


_SAFETY = "contentSafety: {endpoint: https://contoso-safety.cognitiveservices.azure.com, threshold: 4}\n"


@pytest.mark.parametrize(
    ("keys", "where", "reason"),
    [
        ("serves: [chat, chat]", "serves", "DuplicateAbility"),
        ("serves: [embeddings, tools]", "serves", "NotAllowed"),
        ("serves: [chat, embeddings], screened: true", "serves", "NotAllowed"),
        ("serves: []", "serves", None),
        ("serves: [speech]", "serves", None),
        ("aliases: [other]", "aliases", "DuplicateAlias"),
        ("aliases: [a, a]", "aliases", "DuplicateAlias"),
        ("aliases: [taken]", "aliases", "DuplicateAlias"),
        ("aliases: ['@(1)']", "aliases", None),
    ],
)
def test_abilities_and_aliases_that_cannot_be_are_refused_at_their_place(
    keys: str, where: str, reason: str | None
) -> None:
    text = (
        f"{_SAFETY}models:\n"
        "  - {name: other, provider: foundry, endpoint: 'https://b.example/openai/v1', aliases: [taken]}\n"
        f"  - {{name: mine, provider: foundry, endpoint: 'https://a.example/openai/v1', {keys}}}\n"
    )
    [problem] = read_catalog("c.yaml", text.encode()).problems
    assert (problem.line, reason in (None, problem.reason)) == (4, True)
    assert problem.column > text.splitlines()[3].index(where), problem
