"""Plans: pure functions from what is known to what should be done. No event loop, no I/O."""
