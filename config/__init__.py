"""What an operator edits: settings, the sales process and the document templates. Does not depend on our code."""
