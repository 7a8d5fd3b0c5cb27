"""The TCP side of the lab: protocol, server models, client load, measurement. It knows nothing of the web."""
