"""Export and import of runs as files."""
