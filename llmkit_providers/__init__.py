"""The vendors, one module each, found through the entry points ``llmkit.providers`` and imported when first used."""
