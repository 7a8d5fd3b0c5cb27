"""Recipes that repeat a run outside the browser."""
