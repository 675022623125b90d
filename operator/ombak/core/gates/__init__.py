"""Gates: what a delivery has to pass before it starts, and before each of its steps (R85-R91)."""
