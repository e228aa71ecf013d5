"""The built-in vendors, one module each, found by entry point and imported only when first used."""
