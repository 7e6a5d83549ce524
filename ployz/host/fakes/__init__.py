"""Fakes of the drivers: in memory, held to the real ones by the same contract tests."""
