"""What an operator edits: settings, the sales process and the document templates. Knows nothing of our code."""
