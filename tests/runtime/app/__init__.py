"""A small function app, for tests of what runs function apps."""
