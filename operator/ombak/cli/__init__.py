"""What a person types, and the wiring of the process."""
