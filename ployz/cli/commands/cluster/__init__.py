"""`ployzctl cluster …`."""
