"""The commands: `ployzctl machine ls` is machine/ls.py."""
