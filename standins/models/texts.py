"""What a model makes of texts, so that a test can say beforehand what it will be: tokens are words, answers
repeat, vectors count words.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

_SIZE = 64


def tokens(text: str) -> int:
    return len(text.split())


def answer_to(body: Mapping[str, Any]) -> tuple[str, bool]:
    """The last message again, after two words, and whether it was cut to as many tokens as the request
    allows.
    """
    said = body["messages"][-1].get("content")
    text = said if isinstance(said, str) else " ".join(part.get("text", "") for part in said or ())
    words = f"You said: {text}".split()
    most = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    return " ".join(words[:most]), len(words) > most


def vector(text: str) -> list[float]:
    """Texts of the same words, whatever their order and case, have the same vector; its length is 1."""
    found = [0.0] * _SIZE
    for word in re.findall(r"\w+", text.lower()):
        found[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % _SIZE] += 1.0
    length = math.hypot(*found) or 1.0
    return [number / length for number in found]
