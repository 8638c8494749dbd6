"""The demo: a trial directory run as real processes, watched, and compared with the plain computation."""
