"""Imported once, by the process that others are forked from (tests/warm.py)."""

from tests.warm import load

load()
