"""What all roles agree on: task, roster, windows, messages, keys, errors. Pure: no I/O, no clock, no logging."""
