"""What the core needs from the outside: protocols, their commands and their results. Nothing of any backend."""
