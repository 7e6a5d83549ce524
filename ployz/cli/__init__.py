"""The command line: one command a file; output.py is the only file that prints."""
