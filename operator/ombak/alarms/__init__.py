"""The alarm language and its evaluation: text in, verdicts out; pure (no I/O, no clock, no log)."""
