"""Claims due events, runs their flows, and settles how each ended."""
