"""bin/crash: kills daemons at every step of a migration, and looks at what becomes of it."""
