"""The arithmetic of sharing: pure numpy, no I/O, no clock, no logging."""
