"""What the branch says: the review of its files, what is in force, and what follows for each team."""
