"""Strict YAML as plain data that knows where each part stands, and problems with it. Pure."""
