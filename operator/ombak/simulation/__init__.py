"""An in-memory region behind the operator's own ports, with seeded faults and with monitors of every promise."""
