"""Counting tokens and fitting prompts: arithmetic over data that ships with llmkit, no network."""
