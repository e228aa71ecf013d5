"""For the tests of programs that use llmkit."""
