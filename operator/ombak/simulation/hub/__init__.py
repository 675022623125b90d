"""A hub and several regions in virtual time: real engines on both sides, and everything between them that can fail."""
