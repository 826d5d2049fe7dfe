"""Chaos on the wire: processes are killed, services fail, webhooks get lost while people push; in the end the
state is the branch's.

`python -m tests.chaos [--seed N] [--only SCENARIO ...]` runs everything and prints a table (`__main__.py`).
"""
