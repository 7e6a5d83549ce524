"""`ployzctl events …`."""
