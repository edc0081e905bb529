"""Engines: who runs the next step, and when."""
