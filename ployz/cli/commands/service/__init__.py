"""`ployzctl service …`."""
