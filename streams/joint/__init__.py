"""Joint computation at a party: what a task's [[joint]] entries mean, and a run for each window (SPEC 8.4)."""
