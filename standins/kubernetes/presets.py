"""Names that KAITO knows, by release."""

from __future__ import annotations

from standins.kubernetes import definitions

_NAMES: dict[str, list[str]] = definitions.read("presets.yaml")
#: In KAITO 0.6 these fetch the model when they start, and need a token of Hugging Face for it.
ADD_ON_DOWNLOADED = frozenset(_NAMES["downloaded"])
_BOTH = ADD_ON_DOWNLOADED.union(_NAMES["both"])
ADD_ON_PRESETS = _BOTH.union(_NAMES["add-on"])
#: KAITO 0.12 keeps these short names for old manifests; any `organisation/model` of Hugging Face is a preset
#: too.
DOWNLOADED = ADD_ON_DOWNLOADED.union(_NAMES["newer-downloaded"])
PRESETS = _BOTH.union(DOWNLOADED, _NAMES["newer"])
#: Known once, and refused with a text of its own.
DEPRECATED = frozenset(("phi-2",))
#: Behind a licence at Hugging Face (0.12: `downloadAuthRequired`).
LICENSED = ("llama-", "meta-llama/")
SKUS = tuple(_NAMES["sizes"])
#: On Azure any other size of these families is let through.
FAMILIES = ("Standard_N", "Standard_D")
