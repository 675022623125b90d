"""Overrides: which of them count, and what they allow (R80-R84, R88). Pure."""
