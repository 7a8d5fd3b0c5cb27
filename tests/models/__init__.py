"""Stories that are particular to one design."""
