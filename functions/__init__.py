"""Triggers only, one file per stage: parse, call, settle."""
