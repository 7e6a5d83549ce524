"""Drivers: the ports (`ports`), the real programs behind them, and a verified fake of each.

Drivers obey. A driver decides nothing that a test of a plan would want to see.
"""
