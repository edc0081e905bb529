"""Connectors: classes whose methods are tools. `sdk.py` is what they are written with."""
