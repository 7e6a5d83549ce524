"""Another Debian release as a root folder of this host, in which a newcomer's commands are tried.

`bin/test other-debian` makes it, runs bin/demo and the quick tests in it, and leaves nothing.
"""
