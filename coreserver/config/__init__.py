"""Frozen settings of servers and loads: the single source of forms, JSON Schemas and checks."""
