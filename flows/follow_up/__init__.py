"""Follow-up of stalled deals: finds them, judges them and does what the plan of their stage says."""
