"""The reconcile loop and everything it needs that does no network itself: queue, store, ports."""
