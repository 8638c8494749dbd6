"""The sink: rows, databases, and what happens when either goes wrong."""
