"""The TCP side of the lab: protocol, server models, client load, measurement. It never imports the web application."""
