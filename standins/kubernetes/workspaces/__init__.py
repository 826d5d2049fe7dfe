"""KAITO's Workspaces: what its webhook says of them, how many nodes they get, what is made for them, and
what their conditions say, in the releases 0.6, 0.8, 0.11 and 0.12.

Rules and texts are those of https://github.com/kaito-project/kaito (Apache-2.0) at its tags v0.6.0, v0.8.1,
v0.11.0 and v0.12.0. What depends on a model or a size is read from tables, see `tables`.
"""
