"""Regions in memory behind the operator's own ports, alone or under a hub, with seeded faults and monitors of every
promise."""
