"""The fault campaign: all roles on the real servers, everything broken at random, every reading accounted for.

`make faults` runs it; `python -m tests.faults --help` says what can be chosen.
"""
