"""The work of the stages, and what becomes of their messages."""
