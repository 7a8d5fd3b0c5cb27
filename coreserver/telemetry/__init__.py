"""Recording of server and machine activity, and its transport from a server process to the lab."""
