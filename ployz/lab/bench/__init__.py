"""bin/bench: what the product takes, beside what the same takes by hand on the same machines in the same run."""
