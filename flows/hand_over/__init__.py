"""Hand-over of a won deal to account management: debrief, tasks, the next deal."""
