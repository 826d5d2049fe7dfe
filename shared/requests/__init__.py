"""Access requests, `access.yaml`: their three shapes, and what they may ask for. Pure."""
