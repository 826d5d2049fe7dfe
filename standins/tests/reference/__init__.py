"""Every HTTP request and answer of a test run, compared with what the vendors publish about their interfaces.

The official descriptions are not part of this repository: `descriptions` finds them, `schemas` compiles what
they say about bodies, and `validator.problems` is the entry: one recorded exchange in, what is wrong with it
out.
"""
