"""The lab: several real machines on one host."""
