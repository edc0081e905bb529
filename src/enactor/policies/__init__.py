"""Policies in Cedar: the built-in set, tenants' own, and asking both."""
