"""Words of the catalogue that requests use too."""

from __future__ import annotations

from typing import Literal

Classification = Literal["public", "internal", "confidential", "restricted"]
#: How the gateway takes keys that clients send as bearer tokens (`shared.resources.bearer`).
BearerWay = Literal["native", "mirrored"]
Provider = Literal["foundry", "kaito", "openai"]

#: Instead of a name: what a KAITO workspace calls its model. `written`: the name of the catalogue, which its
#: configuration tells the server. `preset`: what the release serves by itself.
WRITTEN_NAME, PRESET_NAME = "written", "preset"
