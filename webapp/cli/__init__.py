"""The `serverlab` command."""
