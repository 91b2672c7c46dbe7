"""One exchange with a vendor: paced, sent once, and its outcome as bytes or as an error."""
