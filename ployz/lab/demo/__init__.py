"""bin/demo: a database moves between two machines and back while clients write into it, and nothing is lost."""
