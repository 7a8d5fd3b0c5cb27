"""One run: a load against a server, from the first due time to the joined records."""
