"""Container images made of this host's own programs: no registry is needed to try ployz."""
