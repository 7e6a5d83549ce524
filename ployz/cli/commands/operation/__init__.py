"""`ployzctl operation …`."""
