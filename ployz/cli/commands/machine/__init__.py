"""`ployzctl machine …`."""
