"""Where a stand-in is known to differ from the real service: a test that asks for the real behaviour, and
fails.

Each is strict: when the stand-in learns it, the test passes, which fails the run until the mark is gone.
`standins/COVERAGE.md` lists the texts, and a test compares.
"""

from __future__ import annotations

import pytest


def known_difference(server: str, text: str) -> pytest.MarkDecorator:
    """`server` is the server's name in `standins.run`, `text` one sentence: what the real service does and
    the stand-in does not.
    """
    return pytest.mark.xfail(strict=True, reason=f"{server}: {text}")
