"""The HTTP API's answers about teams, models, dead letters and health."""
