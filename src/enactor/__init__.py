"""Enactor stands between an agent's proposal and its effect: approved actions run exactly once, as approved."""
