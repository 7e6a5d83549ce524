"""The lab: several real machines on one host, each in namespaces of its own.

It drives ployzd and ployzctl as the programs that users run, and knows nothing of what is inside them.
"""
