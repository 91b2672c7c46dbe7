"""Documents: templates rendered to PDF, and e-mail texts."""
