"""The engine of Pipelines: what a hub knows, what it decides, and how that reaches the regions (design 3)."""
