"""The client process: it opens the connections and runs the client groups."""
