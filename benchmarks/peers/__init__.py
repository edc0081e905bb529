"""One driver per system compared; each runs as a process of its own and prints one line of JSON."""
