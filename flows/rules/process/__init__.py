"""The process file as typed values."""
