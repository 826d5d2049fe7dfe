"""One in-memory fake per port of `shared.ports`, held to the same contract tests as the adapter with its
stand-in.
"""
