"""`ployzctl secret …`."""
