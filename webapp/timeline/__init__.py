"""From records to SVG: the timeline of a run and its worker lanes. Pure functions."""
