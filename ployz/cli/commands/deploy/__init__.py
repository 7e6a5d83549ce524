"""`ployzctl deploy …`."""
