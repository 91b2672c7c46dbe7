"""The records of the portal, and the rules on what they hold."""
