"""Detects texts that are probably keys: they are written by mistake, and no message repeats them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

#: How the keys of OpenAI, Anthropic, Groq, Hugging Face, GitHub, GitLab, xAI, Google, AWS, Slack and JSON Web
#: Tokens begin, and private keys in PEM.
_BEGINNING = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|gh[oprsu]_|github_pat_|glpat-|xox[abp]-|AIza|AKIA|ASIA|eyJ)[A-Za-z0-9_-]{8,}|"
    r"\bBearer\s+\S{8,}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
#: An object id without its dashes, and the name of a commit: no keys.
_OTHER_IDS = re.compile(
    r"entraGroup:\s*[\"']?[0-9a-fA-F]{32}\b|(?<![A-Za-z0-9+/])[0-9a-f]{40}(?![A-Za-z0-9+/=])"
)
_RUN = re.compile(r"[A-Za-z0-9+]{28,}")


def looks_like_a_key(text: str) -> bool:
    """Whether the text holds what begins as keys do, or 28 characters on end in which letters and digits are
    mixed.
    """
    return _BEGINNING.search(text) is not None or any(_is_mixed(run) for run in _RUN.findall(text))


def keys_in(text: str) -> Iterator[tuple[int, int]]:
    """The first key of each line of a text, comments included, in at most 20 lines: line and column counted
    from 0. The 40 digits of a commit are not taken for one.
    """
    lines = enumerate(re.split("\r\n?|\n", text))
    found = ((number, _first_key(line)) for number, line in lines)
    return itertools.islice(((number, column) for number, column in found if column is not None), 20)


def _first_key(line: str) -> int | None:
    hidden = _OTHER_IDS.sub(lambda match: " " * len(match[0]), line)
    starts = [match.start() for match in _BEGINNING.finditer(hidden)]
    starts += [match.start() for match in _RUN.finditer(hidden) if _is_mixed(match[0])]
    return min(starts, default=None)


def _is_mixed(run: str) -> bool:
    digits = sum(char.isdigit() for char in run)
    return 4 <= digits < len(run)
