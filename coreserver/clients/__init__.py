"""The load: clients in processes of their own. They know an address and the protocol, nothing of server models."""
