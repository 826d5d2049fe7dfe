"""What a model makes of texts, so that a test can say beforehand what it will be: tokens are words, answers
repeat, vectors count words.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

_SIZE = 64


def tokens(text: str) -> int:
    return len(text.split())


def text_of(content: Any) -> str:
    """The text of a message: its content is a text, or parts of which some have one."""
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(str(part.get("text") or "") for part in content)


def inputs(given: Any) -> list[tuple[str, int]]:
    """Each text with its number of tokens. `given`: a text, several, a list of tokens, or several lists."""
    single = isinstance(given, str) or all(isinstance(each, int) for each in given)
    return [
        (each, tokens(each)) if isinstance(each, str) else (" ".join(map(str, each)), len(each))
        for each in ([given] if single else given)
    ]


def answer_to(said: str, most: int | None) -> tuple[str, bool]:
    """What was said again, after two words, and whether it was cut to `most` tokens."""
    words = f"You said: {said}".split()
    return " ".join(words[: most or len(words)]), most is not None and len(words) > most


def vector(text: str, size: int | None = None) -> list[float]:
    """Texts of the same words, whatever their order and case, have the same vector; its length is 1."""
    found = [0.0] * (size or _SIZE)
    for word in re.findall(r"\w+", text.lower()):
        found[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % len(found)] += 1.0
    length = math.hypot(*found) or 1.0
    return [number / length for number in found]
