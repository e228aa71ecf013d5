"""Bytes on the wire, without the wire: nothing here opens a socket, reads a clock or looks at the environment."""
