"""What answers each address; parsing and work live elsewhere."""
