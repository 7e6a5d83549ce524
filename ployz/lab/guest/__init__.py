"""The OpenZFS guest: a virtual machine with what most users have and a lab cannot give.

That is OpenZFS and WireGuard in the kernel, systemd, Docker as its package sets it up, and control groups of version 2.
"""
