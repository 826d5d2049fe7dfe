"""The tags of a secret: ours, which every write sets anew, and those of others, which every write keeps.

A newer version of Mergekey, or a policy of the company's, may put more of them on a secret. They are no
difference.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.resources.key_slots import EXPOSED

_OURS = frozenset(
    {"managed-by", "repository", "team", "commit", "reader", "fingerprint", "withdrawn", EXPOSED}
)
#: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#secret-tags
MAX_TAGS = 15


def with_others(ours: Mapping[str, str], found: Mapping[str, str] | None) -> dict[str, str]:
    """Our tags, and those of others that were found. A secret takes so many: ours come first, then theirs by
    name.
    """
    others = sorted((name, text) for name, text in (found or {}).items() if name not in _OURS)
    return {**dict(others[: MAX_TAGS - len(ours)]), **ours}


def marked(found: Mapping[str, str], mark: Mapping[str, str]) -> dict[str, str]:
    """What was found, with one more tag of ours, also where there was no room for it."""
    return with_others({name: text for name, text in found.items() if name in _OURS} | dict(mark), found)


def equivalent(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether they say the same; the commit is for people."""
    return {**found, "commit": ""} == {**wanted, "commit": ""}
