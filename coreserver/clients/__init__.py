"""The load: clients in their own processes. They depend on an address and the protocol, not on server models."""
