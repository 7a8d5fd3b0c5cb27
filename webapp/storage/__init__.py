"""Persistence: SQLite and the data directory."""
