"""Whether there is anything to compare with."""

from __future__ import annotations

import pytest

from standins.tests.reference.descriptions import ABSENT, PRESENT, REQUIRED


def test_the_vendors_descriptions_are_on_this_machine() -> None:
    if not PRESENT and not REQUIRED:
        pytest.skip(ABSENT)
    assert PRESENT, ABSENT
