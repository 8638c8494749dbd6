"""A deterministic simulator: the code that decides in production, in a world of lists, under an adversary with a seed.

`python -m tests.simulation --help` says how to run it. Gateway, leaf, root and collector are the production classes;
MQTT, the disk, Kafka, clocks and what only keys can do are models. Every
reading has a value of its own, a power of four, so that a total shows which reading is lost or doubled.

Most schedules are small and play with the agreement, over histories that the production gateway has made before
(`tests.simulation.histories`); others play with gateways, or with everybody at once.
"""
