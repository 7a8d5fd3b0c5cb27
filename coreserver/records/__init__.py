"""The recorded facts of a run, imported by every package that produces or evaluates them."""
