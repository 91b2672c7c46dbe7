"""The process file as a handbook, a diagram and a schema."""
