"""Where the descriptions are absent, one test says so, and the others have nothing to look at."""

from __future__ import annotations

from standins.tests.reference.descriptions import PRESENT

collect_ignore = [] if PRESENT else ["test_validator.py", "test_looseness.py", "test_comparison.py"]
