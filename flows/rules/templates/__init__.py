"""Which values a template may use, and whether they are there."""
