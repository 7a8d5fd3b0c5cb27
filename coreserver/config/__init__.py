"""Frozen settings of servers and loads, parsed once: the single source of forms, JSON Schemas and checks."""
