"""What is wrong with a cluster, as findings with a remedy each, from what every machine says about itself.

A machine looks at itself (readings), and says what lies there without an operation (leftovers). What that means for an
operator is decided once, at the machine that was asked (findings, versions).
"""
