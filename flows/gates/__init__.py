"""Gates: whether deals may be in their stages, explained, guarded and reported."""
