"""The app over the fakes, on a clock and an order of events that a seed decides:
`python -m tests.simulation --seed 1`.
"""
