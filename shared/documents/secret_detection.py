"""Detects texts that are probably keys: they are written by mistake, and no message repeats them."""

from __future__ import annotations

import re

#: How the keys of OpenAI, Anthropic, Groq, Hugging Face, GitHub, GitLab, xAI, Google, AWS and JSON Web Tokens
#: begin.
_BEGINNING = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|gh[pos]_|github_pat_|glpat-|AIza|AKIA|ASIA|eyJ)[A-Za-z0-9_-]{8,}|"
    r"\bBearer\s+\S{8,}"
)
_RUN = re.compile(r"[A-Za-z0-9+]{28,}")


def looks_like_a_key(text: str) -> bool:
    """Whether the text holds what begins as keys do, or 28 characters on end in which letters and digits are
    mixed.
    """
    return _BEGINNING.search(text) is not None or any(_is_mixed(run) for run in _RUN.findall(text))


def _is_mixed(run: str) -> bool:
    digits = sum(char.isdigit() for char in run)
    return 4 <= digits < len(run)
