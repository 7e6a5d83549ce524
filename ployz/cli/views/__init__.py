"""Values as blocks: pure functions that more than one command shows its answer with."""
