"""The command line: a tree of commands, one a file (`tree`, `commands/`); output.py is the only file that prints.

Nothing is imported before it is needed: `ployzctl machine ls` has 120 ms of processor time, interpreter and all.
"""
