"""Names that KAITO knows, by release: presets (presets/workspace/models/supported_models.yaml) and Azure
sizes (pkg/sku).
"""

from __future__ import annotations

_BOTH = frozenset(
    (
        "llama-3.1-8b-instruct",
        "llama-3.3-70b-instruct",
        "deepseek-r1-0528",
        "deepseek-v3-0324",
        "deepseek-r1-distill-qwen-14b",
        "deepseek-r1-distill-llama-8b",
        "mistral-7b",
        "mistral-7b-instruct",
        "phi-3-mini-4k-instruct",
        "phi-3-mini-128k-instruct",
        "phi-3-medium-4k-instruct",
        "phi-3-medium-128k-instruct",
        "phi-3.5-mini-instruct",
        "phi-4-mini-instruct",
        "phi-4",
        "qwen2.5-coder-7b-instruct",
        "qwen2.5-coder-32b-instruct",
    )
)
#: KAITO 0.6.
ADD_ON_PRESETS = _BOTH | {"falcon-7b", "falcon-7b-instruct", "falcon-40b", "falcon-40b-instruct", "phi-2"}
_DOWNLOADED = frozenset(
    ("llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "deepseek-r1-0528", "deepseek-v3-0324")
)
#: In KAITO 0.6 these fetch the model when they start, and need a token of Hugging Face for it; the others
#: carry it in their image.
ADD_ON_DOWNLOADED = _DOWNLOADED
_NEWER_DOWNLOADED = frozenset(
    (
        "gpt-oss-120b",
        "gemma-3-4b-instruct",
        "gemma-3-27b-instruct",
        "ministral-3-3b-instruct",
        "ministral-3-8b-instruct",
        "ministral-3-14b-instruct",
        "mistral-large-3-675b-instruct",
    )
)
#: KAITO 0.12 keeps these short names for old manifests; any `organisation/model` of Hugging Face is a preset
#: too.
PRESETS = _BOTH | _NEWER_DOWNLOADED | {"gpt-oss-20b"}
DOWNLOADED = _DOWNLOADED | _NEWER_DOWNLOADED
#: Known once, and refused with a text of its own.
DEPRECATED = frozenset(("phi-2",))
#: Behind a licence at Hugging Face (0.12: `downloadAuthRequired`).
LICENSED = ("llama-", "meta-llama/")

SKUS = (
    "Standard_NV36ads_A10_v5",
    "Standard_NV72ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96asr_A100_v4",
    "Standard_ND96amsr_A100_v4",
    "Standard_NC40ads_H100_v5",
    "Standard_NC80adis_H100_v5",
    "Standard_ND96isr_H100_v5",
    "Standard_NCC40ads_H100_v5",
    "Standard_ND96isr_H200_v5",
    "Standard_NG32ads_V620_v1",
    "Standard_NG32adms_V620_v1",
)
#: On Azure any other size of these families is let through.
FAMILIES = ("Standard_N", "Standard_D")
