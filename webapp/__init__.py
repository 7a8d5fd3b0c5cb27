"""The control plane: REST, pages, storage and the command line around the TCP side of the lab."""
