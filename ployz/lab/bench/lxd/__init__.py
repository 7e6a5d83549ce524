"""The peer: the same writer, moved between two LXD daemons of the lab by the recipes that LXD's users know."""
