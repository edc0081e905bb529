"""What Enactor costs next to its peers and next to bare commits: `make bench-embedded`."""
