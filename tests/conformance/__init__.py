"""Every server model goes through the same stories."""
