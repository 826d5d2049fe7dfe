"""The promise: merge a file, fetch a key, and a model answers the official `openai` client. One endpoint, and
the gateway decides.
"""

from __future__ import annotations

import ssl
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import openai
import pytest
from azure.mgmt.apimanagement.models import SubscriptionUpdateParameters
from openai import AzureOpenAI, OpenAI

from standins.identity import IDENTITY_HEADER
from standins.stack import APIM_ID, FEW_SESSIONS, Stack
from tests.conftest import ROOT
from tests.end_to_end.road import Road
from tests.end_to_end.written import CATALOG_PATH, Clone, path_of

GROUP = str(uuid.uuid4())
SWEDEN, CANARY = "contoso-sweden.openai.azure.com", "contoso-canary.openai.azure.com"
PROVIDER, OWN = "api.anthropic.com", "mistral.kaito-shared.example.internal"
CATALOG = f"""\
models:
  - name: gpt-4.1
    provider: foundry
    pool:
      - {{name: sweden, endpoint: "https://{SWEDEN}/openai/v1", weight: 80}}
      - {{name: canary, endpoint: "https://{CANARY}/openai/v1", weight: 20}}
  - name: claude-sonnet
    provider: openai
    endpoint: "https://{PROVIDER}/v1"
    servedName: claude-sonnet-4-5
    credential: anthropic
    fallback: mistral-small
  - name: mistral-small
    provider: kaito
    endpoint: "http://{OWN}/v1"
    servedName: mistral-7b-instruct
  - name: text-embedding-3-large
    provider: foundry
    endpoint: "https://{SWEDEN}/openai/v1"
"""
#: Team -> what it asks for.
TEAMS = {
    "alpha": """\
  foundry: [{name: gpt-4.1, tokensPerMinute: 100000}, {name: text-embedding-3-large}]
  openai: [{name: claude-sonnet}]
  kaito: [{name: mistral-small}]
""",
    "bravo": "  foundry: [{name: gpt-4.1, tokensPerMinute: 10}]\n",
    "charlie": "  foundry: [{name: gpt-4.1, tokenQuota: {tokens: 10, period: Daily}}]\n",
}


@dataclass(frozen=True)
class Governed:
    """The road with the teams' access on it."""

    road: Road
    http: httpx.Client

    @property
    def url(self) -> str:
        return self.road.stack.addresses["gateway"]

    def key(self, team: str) -> str:
        """As a member of the team's group fetches it, with the Key Vault SDK."""
        return str(self.road.reader(GROUP).get_secret(f"{team}-primary-key").value)

    def azure(self, team: str) -> AzureOpenAI:
        return AzureOpenAI(
            azure_endpoint=self.url,
            api_key=self.key(team),
            api_version="2024-10-21",
            http_client=self.http,
            max_retries=0,
        )

    def plain(self, key: str | None) -> OpenAI:
        """What the client itself calls its key is not one."""
        headers = {"api-key": key} if key else {}
        return OpenAI(
            base_url=f"{self.url}/openai/v1",
            api_key="not-used",
            default_headers=headers,
            http_client=self.http,
            max_retries=0,
        )

    def served(self) -> Counter[str]:
        """Calls by host."""
        found = self.road.stack.control.report("models")["served"]
        return Counter({server.partition("/")[0]: count for server, count in found.items()})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    folder = tmp_path_factory.mktemp("governed")
    with (
        Stack(folder, ROOT, FEW_SESSIONS, run_options=("--latency", "none", "--exchanges")) as stack,
        pytest.MonkeyPatch.context() as patch,
        httpx.Client(verify=ssl.create_default_context(cafile=stack.ca)) as http,
    ):
        patch.setenv("IDENTITY_ENDPOINT", f"{stack.addresses['identity']}/msi/token")
        patch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        stack.control.set_options("models", credentials={PROVIDER: "the-platforms-key"})
        road = Road(stack, Clone(stack.git_url, folder / "clone"))
        road.vault.set_secret("anthropic", "the-platforms-key")
        road.clone.write_text(CATALOG_PATH, CATALOG)
        for team, models in TEAMS.items():
            road.clone.write_text(
                path_of(team),
                f"team: {{name: {team}, owner: lead@contoso.com, entraGroup: {GROUP}}}\nmodels:\n{models}",
            )
        push = road.push("The catalogue and three teams")
        road.status(push, "catalogue", "catalog", "success")
        road.advance(5)
        for team in TEAMS:
            road.status(push, team, "keys", "success")
            road.status(push, team, "gateway", "success")
        yield Governed(road, http)
        road.close()


@pytest.fixture
def governed(whole: Governed) -> Iterator[Governed]:
    """Nothing counted and nothing broken; whatever the test does, nothing reaches a model that must not."""
    control = whole.road.stack.control
    control.forget_faults()
    for server in ("gateway", "models"):
        control.forget_report(server)
    yield whole
    assert control.report("models")["findings"] == []


def ask(client: OpenAI, model: str, text: str = "How are you today") -> str:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    return str(answer.choices[0].message.content)


@pytest.mark.parametrize(
    "client",
    [lambda governed: governed.azure("alpha"), lambda governed: governed.plain(governed.key("alpha"))],
)
def test_a_granted_model_answers_both_kinds_of_client(
    governed: Governed, client: Callable[[Governed], OpenAI]
) -> None:
    assert ask(client(governed), "gpt-4.1") == "You said: How are you today"


def test_the_providers_key_is_the_platforms_and_the_clients_goes_no_further(governed: Governed) -> None:
    assert ask(governed.plain(governed.key("alpha")), "claude-sonnet") == "You said: How are you today"
    assert governed.served() == {PROVIDER: 1}


def test_another_model_is_refused_with_the_list_of_those_that_are_allowed(governed: Governed) -> None:
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(governed.azure("bravo"), "claude-sonnet")
    assert refused.value.code == "model_not_allowed"
    assert "It is for: gpt-4.1." in str(refused.value)


def test_without_a_key_and_with_a_wrong_one_nobody_gets_in(governed: Governed) -> None:
    for key in (None, "0" * 32):
        with pytest.raises(openai.AuthenticationError) as refused:
            ask(governed.plain(key), "gpt-4.1")
        assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
    assert not governed.served()


def test_a_suspended_key_opens_nothing_until_it_is_active_again(governed: Governed) -> None:
    subscriptions, at = (
        governed.road.apim.subscription,
        (APIM_ID.split("/")[4], APIM_ID.split("/")[-1], "team-alpha", "*"),
    )
    subscriptions.update(*at, SubscriptionUpdateParameters(state="suspended"))
    try:
        with pytest.raises(openai.AuthenticationError):
            ask(governed.azure("alpha"), "gpt-4.1")
    finally:
        subscriptions.update(*at, SubscriptionUpdateParameters(state="active"))
    assert ask(governed.azure("alpha"), "gpt-4.1")


def test_the_key_for_all_apis_skips_the_products_and_is_refused_by_the_api(governed: Governed) -> None:
    at = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]
    key = governed.road.apim.subscription.list_secrets(*at, "master").primary_key
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(governed.plain(str(key)), "gpt-4.1")
    assert "This key belongs to no team." in str(refused.value)


def test_beyond_the_tokens_of_a_minute_the_client_is_told_when_to_come_back(governed: Governed) -> None:
    assert ask(governed.azure("bravo"), "gpt-4.1")  # ten tokens
    with pytest.raises(openai.RateLimitError) as refused:
        ask(governed.azure("bravo"), "gpt-4.1")
    seconds = int(refused.value.response.headers["Retry-After"])
    assert 1 <= seconds <= 60
    governed.road.stack.control.advance(seconds + 1)
    assert ask(governed.azure("bravo"), "gpt-4.1")


def test_beyond_the_quota_of_the_day_the_next_day_helps(governed: Governed) -> None:
    governed.road.at_daybreak()
    assert ask(governed.azure("charlie"), "gpt-4.1")
    governed.road.stack.control.advance(61)
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(governed.azure("charlie"), "gpt-4.1")
    assert refused.value.code == "insufficient_quota"
    governed.road.stack.control.advance(24 * 3600)
    assert ask(governed.azure("charlie"), "gpt-4.1")


def test_a_stream_arrives_word_by_word_and_its_tokens_count(governed: Governed) -> None:
    """Both sides of a stream are estimated: 13 and 23 characters are four and six tokens."""
    client = governed.azure("alpha")
    stream = client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": "one two three"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    words = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert ("".join(words), len(words) > 4) == ("You said: one two three", True)
    assert [metric["total"] for metric in governed.road.stack.control.report("gateway")["metrics"]] == [10]


def test_embeddings_of_the_same_words_are_the_same(governed: Governed) -> None:
    rows = (
        governed.plain(governed.key("alpha"))
        .embeddings.create(model="text-embedding-3-large", input=["blue sky", "sky blue", "sea"])
        .data
    )
    assert rows[0].embedding == rows[1].embedding != rows[2].embedding


@pytest.mark.parametrize("status", [0, 503, 429])
def test_when_a_backend_dies_the_fallback_answers_without_the_others_credential(
    governed: Governed, status: int
) -> None:
    governed.road.stack.control.fault("models", f"POST .* {PROVIDER}", status=status, count=None)
    assert ask(governed.azure("alpha"), "claude-sonnet") == "You said: How are you today"
    assert governed.served() == {OWN: 1}


def test_the_canary_gets_its_share(governed: Governed) -> None:
    """Of 200 calls 40 on average, with a standard deviation below 6."""
    governed.road.stack.control.seed(20)
    client = governed.azure("alpha")
    for _ in range(200):
        ask(client, "gpt-4.1")
    served = governed.served()
    assert served.total() == 200
    assert 15 <= served[CANARY] <= 65
    assert served[SWEDEN] == 200 - served[CANARY]


def test_what_was_used_is_told_by_team_and_model(governed: Governed) -> None:
    ask(governed.azure("alpha"), "gpt-4.1")
    (metric,) = governed.road.stack.control.report("gateway")["metrics"]
    assert metric["dimensions"] == {"Team": "alpha", "Model": "gpt-4.1", "Product": "team-alpha"}
    assert (metric["namespace"], metric["prompt"], metric["completion"], metric["total"]) == (
        "mergekey",
        4,
        6,
        10,
    )


def test_no_key_is_in_what_the_gateway_noted(governed: Governed) -> None:
    key, control = governed.key("alpha"), governed.road.stack.control
    url = f"{governed.url}/openai/v1/chat/completions"
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    assert governed.http.post(url, params={"api-key": key}, json=body).status_code == 200
    seen = [each for each in control.exchanges() if each.server in ("gateway", "models")]
    noted = str(
        [
            control.report("gateway"),
            control.report("models"),
            control.calls("gateway"),
            control.calls("models"),
            seen,
        ]
    )
    assert [key in noted, "the-platforms-key" in noted] == [False, False]
    assert seen


def test_a_providers_key_that_leaves_the_vault_turns_the_catalogue_red(governed: Governed) -> None:
    """The gateway answers 500 by then. The sweep has it read the secret again, in vain for a quarter of an
    hour.
    """
    road = governed.road
    road.vault.begin_delete_secret("anthropic").wait()
    road.advance(4 * 3600)
    road.sweep()
    for _ in range(12):
        road.advance(120)
    [letter] = road.dead_letters("catalogue")
    assert (letter.about["reason"], letter.about["stage"]) == ("SecretUnreadable", "provision-catalog")
    assert "'anthropic'" in letter.about["message"]
    commit = road.clone.git("rev-parse", "HEAD").strip()
    assert road.statuses(commit)["mergekey/catalogue/catalog"][0] == "failure"
