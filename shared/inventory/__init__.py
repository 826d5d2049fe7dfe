"""The existing objects: lists of all, those of one team, and their differences from the desired state."""
