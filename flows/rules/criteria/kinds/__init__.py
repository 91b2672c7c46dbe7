"""The kinds of evidence, one file each: base.py lists what a kind states, ../evidence.py registers it."""
