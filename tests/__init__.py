"""The tests. This runs before any of them, and before `conftest.py`, imports a client library."""

from standins.tests.trust import trust_the_standins

trust_the_standins()
