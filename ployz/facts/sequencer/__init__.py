"""The embedded authority: the fact log as one SQLite file at the founding machine."""
