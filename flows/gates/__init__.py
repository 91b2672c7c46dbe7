"""Whether deals may stand where they stand: explained, guarded, reported."""
