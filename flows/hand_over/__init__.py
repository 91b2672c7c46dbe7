"""A won deal goes to account management: debrief, tasks, the next deal."""
