"""Words of the catalogue that requests use too."""

from __future__ import annotations

from typing import Literal

Classification = Literal["public", "internal", "confidential", "restricted"]
#: How the gateway takes keys that clients send as bearer tokens (`shared.resources.bearer`).
BearerWay = Literal["native", "mirrored"]
Provider = Literal["foundry", "kaito", "openai"]
#: What a model does: the verbs that it answers (`shared.catalog.verbs`), and whether it calls tools.
Ability = Literal["chat", "tools", "responses", "embeddings", "completions", "images"]

#: Instead of a name: what a KAITO workspace calls its model. `written`: the name of the catalogue, which its
#: configuration tells the server. `preset`: what the release serves by itself.
WRITTEN_NAME, PRESET_NAME = "written", "preset"
