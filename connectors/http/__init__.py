"""HTTP exchanges with vendors: paced, sent once, with bytes or an error as the result."""
