"""What things are and what is legal: records, keys, digests, transitions. No I/O, no clock, no backend."""
