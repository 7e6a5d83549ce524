"""`ployzctl route …`."""
