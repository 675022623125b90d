"""Counts and ratios on a real control plane; see README.md beside this file."""
