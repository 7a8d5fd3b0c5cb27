"""Frozen settings of servers and loads, parsed once at the edge: the single source of forms, JSON Schemas and checks."""
