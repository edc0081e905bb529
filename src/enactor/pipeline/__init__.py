"""The pipeline: plain functions that decide. `steps.py` is the list; engines run it."""
