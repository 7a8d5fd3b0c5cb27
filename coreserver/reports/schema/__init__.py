"""The shape of a report: its schema, the constants that define it, and upgrades of earlier versions."""
