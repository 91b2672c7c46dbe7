"""The records of the portal, and the rules about their content."""
