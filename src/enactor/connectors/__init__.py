"""Connectors: classes whose methods are tools. `sdk` is what they are written with."""
