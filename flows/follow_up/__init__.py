"""Stalled deals: found, judged, followed up as their stage's plan says."""
