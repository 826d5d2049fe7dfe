"""What a call can ask of a model: the verbs, and which of them a model serves by default."""

from __future__ import annotations

from dataclasses import dataclass

from shared.catalog.terms import Ability, Provider
from shared.kaito.presets import find_preset
from shared.kaito.releases import Release


@dataclass(frozen=True, slots=True)
class Verb:
    """`path` follows the base URL of a model's backend, and `/v1` of the gateway's."""

    ability: Ability
    path: str
    title: str

    @property
    def slug(self) -> str:
        """How the ids of its operations end."""
        return self.path.replace("/", "-")


VERBS = (
    Verb("chat", "chat/completions", "Chat completions"),
    Verb("completions", "completions", "Completions"),
    Verb("embeddings", "embeddings", "Embeddings"),
    Verb("responses", "responses", "Responses"),
    Verb("images", "images/generations", "Images"),
)

#: What is taken to be served where the catalogue does not say it. A model's own server refuses the rest.
#: Images are never among them: they have no tokens, so a team needs a limit of calls for them.
_BY_PROVIDER: dict[Provider, frozenset[Ability]] = {
    "foundry": frozenset({"chat", "tools", "responses", "embeddings", "completions"}),
    "openai": frozenset({"chat", "tools", "embeddings", "completions"}),
    "kaito": frozenset({"chat", "tools", "responses", "embeddings", "completions"}),
}
#: What the content safety service reads: https://learn.microsoft.com/azure/api-management/llm-content-safety-policy
#: names chat completions and completions.
SCREENED: frozenset[Ability] = frozenset({"chat", "tools", "completions"})


def usual_abilities(
    provider: Provider, preset: str | None, release: Release | None, tool_parser: str | None
) -> frozenset[Ability]:
    """What a model serves where the catalogue does not say it. `release` is the one that it names: the
    presets of a known release generate text, and have a parser for calls of tools or none.
    """
    usual = _BY_PROVIDER[provider]
    found = None if preset is None or release is None else find_preset(release, preset)
    if found is None:
        return usual
    has_parser = (tool_parser or found.tool_parser) is not None
    return usual - {"embeddings"} if has_parser else usual - {"embeddings", "tools"}
