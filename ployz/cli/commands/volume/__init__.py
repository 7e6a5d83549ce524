"""`ployzctl volume …`."""
