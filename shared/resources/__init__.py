"""The managed objects of teams and of the platform: desired, actual, and the plan from one to the other.
Pure.
"""
