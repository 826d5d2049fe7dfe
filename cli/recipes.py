"""The lines with which clients of models call the gateway, with the addresses of one team. Pure. No key is in
them: each reads the environment variable `MERGEKEY_API_KEY`, and `KEY` says how it is filled.

`mergekey teams show --client` prints them, docs/clients.md has them for an example, and `make contract` runs
those in Python and JavaScript.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.documents.problem import visible

#: The variable of the environment that holds the key.
VARIABLE = "MERGEKEY_API_KEY"
#: Instead of the lines of a client that sends bearer tokens only.
NEEDS_BEARER = "# It can send the key as a bearer token only, and the catalogue has no bearer keys.\n"
Language = Literal["python", "js", "sh", "yaml"]
_KEY = f'os.environ["{VARIABLE}"]'


@dataclass(frozen=True, slots=True)
class Place:
    """The addresses of a team, and a model that it may call. `bearer_base_url` takes keys as bearer tokens;
    without it clients send the header `api-key` to `base_url`.
    """

    team: str
    azure_endpoint: str
    base_url: str
    bearer_base_url: str | None
    model: str

    @property
    def plain_base_url(self) -> str:
        """For clients that are not told about Azure."""
        return self.bearer_base_url or self.base_url


@dataclass(frozen=True, slots=True)
class Recipe:
    """`lines` are those of a place; None where the client cannot send what the place expects."""

    title: str
    language: Language
    lines: Callable[[Place], str | None]


def place_of(record: Mapping[str, Any]) -> Place:
    """The place in a team's record, as the HTTP API answers it, and its first model that chats. An earlier
    version of the app answers neither `bearer_base_url` nor `serves`.
    """
    endpoints, granted = record["endpoints"], record["granted"] or {"models": []}
    model = next(
        (str(each["name"]) for each in granted["models"] if "chat" in each.get("serves", ["chat"])), "<model>"
    )
    return Place(
        record["team"],
        endpoints["azure_endpoint"],
        endpoints["base_url"],
        endpoints.get("bearer_base_url"),
        model,
    )


def lines_to_copy(record: Mapping[str, Any], client: str) -> str:
    """How the key is fetched, and the lines for one client, or for `all`. Control characters are escaped."""
    place = place_of(record)
    asked = RECIPES.values() if client == "all" else [RECIPES[client]]
    blocks = [f"# The key\n{key_lines(place)}"]
    blocks += [f"# {each.title}\n{each.lines(place) or NEEDS_BEARER}" for each in asked]
    return "\n".join("\n".join(map(visible, block.split("\n"))) for block in blocks)


def key_lines(place: Place) -> str:
    """How a member of the team's group puts the key into the environment."""
    return (
        f'export {VARIABLE}="$(az keyvault secret show --vault-name <vault> \\\n'
        f'  --name {shlex.quote(place.team)}-primary-key --query value --output tsv)"\n'
    )


def _python_openai(place: Place) -> str:
    headers = "" if place.bearer_base_url else f', default_headers={{"api-key": {_KEY}}}'
    return f"""\
import os

from openai import OpenAI

client = OpenAI(base_url={_text(place.plain_base_url)}, api_key={_KEY}{headers})
answer = client.chat.completions.create(
    model={_text(place.model)}, messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)
"""


def _python_azure(place: Place) -> str:
    return f"""\
import os

from openai import AzureOpenAI

client = AzureOpenAI(
    azure_endpoint={_text(place.azure_endpoint)}, api_key={_KEY}, api_version="2024-10-21"
)
answer = client.chat.completions.create(
    model={_text(place.model)}, messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)
"""


def _javascript(place: Place) -> str:
    key = f"process.env.{VARIABLE}"
    headers = "" if place.bearer_base_url else f', defaultHeaders: {{ "api-key": {key} }}'
    return f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_text(place.plain_base_url)}, apiKey: {key}{headers} }});
const answer = await client.chat.completions.create({{
  model: {_text(place.model)},
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);
"""


def _langchain(place: Place) -> str:
    headers = "" if place.bearer_base_url else f'    default_headers={{"api-key": {_KEY}}},\n'
    return f"""\
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model={_text(place.model)},
    base_url={_text(place.plain_base_url)},
    api_key={_KEY},
{headers})
print(model.invoke("Hello").content)
"""


def _litellm(place: Place) -> str:
    headers = "" if place.bearer_base_url else f'    extra_headers={{"api-key": {_KEY}}},\n'
    return f"""\
import os

import litellm

answer = litellm.completion(
    model={_text(f"openai/{place.model}")},
    messages=[{{"role": "user", "content": "Hello"}}],
    api_base={_text(place.plain_base_url)},
    api_key={_KEY},
{headers})
print(answer.choices[0].message.content)
"""


def _pydantic_ai(place: Place) -> str:
    base_url = _text(place.plain_base_url)
    if place.bearer_base_url:
        more, provider = "", f"OpenAIProvider(base_url={base_url}, api_key={_KEY})"
    else:
        more, provider = "from openai import AsyncOpenAI\n", "OpenAIProvider(openai_client=client)"
    client = (
        f'client = AsyncOpenAI(base_url={base_url}, api_key="-", default_headers={{"api-key": {_KEY}}})\n'
    )
    return f"""\
import os

{more}from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

{client if more else ""}provider = {provider}
agent = Agent(OpenAIChatModel({_text(place.model)}, provider=provider))
print(agent.run_sync("Hello").output)
"""


def _curl(place: Place) -> str:
    header = "Authorization: Bearer" if place.bearer_base_url else "api-key:"
    body = json.dumps({"model": place.model, "messages": [{"role": "user", "content": "Hello"}]})
    return f"""\
curl --fail-with-body -sS {shlex.quote(f"{place.plain_base_url}/chat/completions")} \\
  -H "{header} ${VARIABLE}" -H "Content-Type: application/json" \\
  -d {shlex.quote(body)}
"""


def _open_webui(place: Place) -> str | None:
    if not place.bearer_base_url:
        return None
    return f"""\
docker run -d -p 3000:8080 -v open-webui:/app/backend/data \\
  -e OPENAI_API_BASE_URL={shlex.quote(place.bearer_base_url)} \\
  -e OPENAI_API_KEY="${VARIABLE}" \\
  ghcr.io/open-webui/open-webui:main
"""


def _continue(place: Place) -> str:
    secret = f"${{{{ secrets.{VARIABLE} }}}}"
    headers = (
        "" if place.bearer_base_url else f"    requestOptions:\n      headers:\n        api-key: {secret}\n"
    )
    return f"""\
name: Mergekey
version: 1.0.0
schema: v1
models:
  - name: {_text(place.model)}
    provider: openai
    model: {_text(place.model)}
    apiBase: {_text(place.plain_base_url)}
    apiKey: {secret}
{headers}"""


def _text(value: str) -> str:
    """A text between quotes, as Python, JavaScript and YAML read it."""
    return json.dumps(value)


#: By the name that `--client` takes.
RECIPES: Mapping[str, Recipe] = {
    "python-openai": Recipe("Python, OpenAI", "python", _python_openai),
    "python-azure-openai": Recipe("Python, AzureOpenAI", "python", _python_azure),
    "js-openai": Recipe("JavaScript, OpenAI", "js", _javascript),
    "langchain": Recipe("LangChain", "python", _langchain),
    "litellm": Recipe("LiteLLM", "python", _litellm),
    "pydantic-ai": Recipe("pydantic-ai", "python", _pydantic_ai),
    "curl": Recipe("curl", "sh", _curl),
    "open-webui": Recipe("Open WebUI", "sh", _open_webui),
    "continue": Recipe("Continue, in .continue/config.yaml", "yaml", _continue),
}
