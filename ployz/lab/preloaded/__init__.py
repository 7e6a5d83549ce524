"""Programs of ployz that a lab starts without starting an interpreter: forked from a process that has imported them.

A start of ployzd takes a second of processor time and one of ployzctl 0.1 to 0.6, nearly all of it for making classes;
a run of the tests has thousands of starts. What runs is the same `main`, in a process of its own inside the machine's
namespaces, with the same arguments, environment, capabilities and files.
"""
