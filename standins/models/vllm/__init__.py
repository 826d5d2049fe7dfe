"""A server as KAITO starts it: vLLM with one model, as it answers on the wire.

`server` says what one is, `routes` finds the operation, the other modules answer one subject each. Statuses,
forms, error fields and orders of events are those of vLLM 0.25.1 (KAITO 0.12), and of 0.22.1 (0.11) where
the option `release` says so; the texts are the stand-in's own, and a token is a word.
"""
