"""ployz: moves running containers with their data between your own machines."""

__version__ = "0.1.0"
