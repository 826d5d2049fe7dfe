"""Triggers only, one file per stage, and the HTTP functions for people."""
