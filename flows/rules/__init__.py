"""Pure decisions: facts in, a typed answer out. No clock, no network, no disk, no vendor library."""
