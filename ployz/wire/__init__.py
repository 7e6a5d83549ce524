"""The wire: frames and sessions without I/O, then the sockets that carry them."""
