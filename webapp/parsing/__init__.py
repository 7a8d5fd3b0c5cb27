"""From untrusted JSON and fields to values, or to a problem that names the place."""
