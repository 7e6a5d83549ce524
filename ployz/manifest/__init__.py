"""The manifest: what a namespace should be, parsed, validated as a whole, and written back. Pure."""
