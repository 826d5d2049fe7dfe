"""Words of the catalogue that requests use too."""

from __future__ import annotations

from typing import Literal

Classification = Literal["public", "internal", "confidential", "restricted"]
Provider = Literal["foundry", "kaito", "openai"]
