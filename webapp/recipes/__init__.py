"""How to repeat a run outside the browser."""
