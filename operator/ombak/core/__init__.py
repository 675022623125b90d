"""Decisions: pure functions of a frozen snapshot and the time (design 5)."""
