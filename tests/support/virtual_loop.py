"""The event loop of the simulation, whose time passes only when everybody waits: hours in milliseconds, never flaky."""

from ombak.simulation.agenda import VirtualLoop, run_virtual

__all__ = ["VirtualLoop", "run_virtual"]
