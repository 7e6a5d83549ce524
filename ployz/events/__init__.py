"""Events: the vocabulary, its codec, and the per-host log that keeps them in order for good."""
