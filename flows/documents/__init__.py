"""Templates to PDF and e-mail texts."""
