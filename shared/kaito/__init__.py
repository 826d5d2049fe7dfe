"""What KAITO does by itself, release by release: what it serves, takes, counts and says. Pure."""
