"""One engine per protocol. An engine takes bytes and returns bytes; it does no I/O and reads no clock."""
