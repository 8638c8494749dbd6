"""Joint computation, against numpy and Python integers."""
