"""A client for a mail server over SMTP: one mail per call; errors say whether it may have been sent."""
