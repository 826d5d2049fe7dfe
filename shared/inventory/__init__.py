"""What exists: lists of everything, one team by itself, and where it differs from what should be."""
