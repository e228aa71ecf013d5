"""What vendors share, and the halves of a vendor too large for one module."""
