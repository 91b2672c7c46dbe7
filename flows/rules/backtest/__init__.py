"""What a process file would have decided on the deals of the past."""
