"""From a deal at its closing stage to a signed contract: drafted, frozen, sent once, read back, filed."""
