"""A mail server, spoken to over SMTP: one mail a call, and the truth about whether it may have gone out."""
