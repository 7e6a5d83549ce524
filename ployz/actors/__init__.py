"""Actors: they decide with a pure function, append, then act."""
