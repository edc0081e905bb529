"""The gateway: the one door to tools. Nothing in it repeats a call."""
