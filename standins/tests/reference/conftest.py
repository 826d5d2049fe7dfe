"""Where the descriptions are absent, one test says so, and the others have nothing to look at."""

from __future__ import annotations

from standins.tests.reference.descriptions import DIRECTORY, PRESENT

collect_ignore = [] if PRESENT else ["test_validator.py", "test_looseness.py", "test_comparison.py"]
if not (DIRECTORY / "kaito" / "facts").is_dir():
    collect_ignore.append("test_kaito_facts.py")
if not (DIRECTORY / "gateways").is_dir():
    collect_ignore += ["test_gateway_records.py", "test_gateway_requests.py"]
