"""`ployzctl migrate …`."""
