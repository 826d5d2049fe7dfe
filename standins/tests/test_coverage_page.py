"""standins/COVERAGE.md says what there is."""

from __future__ import annotations

from standins.run import BUS, SERVERS
from standins.tests.coverage_page import PAGE, REFUSED, differences, page


def test_the_page_is_what_the_routes_and_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m standins.tests.coverage_page"


def test_differences_and_refusals_are_told_of_servers_that_exist() -> None:
    servers = {name for name, _, _ in SERVERS} | {BUS[0]}
    assert set(differences()) <= servers
    assert set(REFUSED) <= servers
