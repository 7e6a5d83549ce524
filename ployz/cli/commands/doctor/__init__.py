"""The commands of `ployzctl doctor`."""
