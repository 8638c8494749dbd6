"""A deterministic simulator: the code that decides in production, in a world of lists, under an adversary with a seed.

`python -m tests.simulation --help` says how to run it. Gateway, leaf, root and collector are the production classes;
MQTT, the disk, Kafka, clocks and what only keys can do are models. Every reading has a value of its own, a power of
four, so that a total shows which reading is lost or doubled.
"""
