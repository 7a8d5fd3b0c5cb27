"""Server-sent events and their content."""
