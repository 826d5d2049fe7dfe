"""The protected branch: the review of its files, the account of what is in force, and the decision for each
team.
"""
