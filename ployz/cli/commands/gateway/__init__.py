"""`ployzctl gateway …`."""
