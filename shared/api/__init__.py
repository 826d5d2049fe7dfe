"""What people can ask, and how it is answered: teams, models, dead letters, health."""
