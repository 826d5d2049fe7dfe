"""The catalogue, `model_catalog.yaml`: what it may say, and how much of each model there is. Pure."""
