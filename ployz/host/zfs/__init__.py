"""The ZFS driver: OpenZFS 2.x and zfs-fuse 0.7, through their programs.

`adapter.py` is the port's real adapter; the other files are the pure parts it is made of.
"""
