"""Projections: pure folds of events into what is true now."""
