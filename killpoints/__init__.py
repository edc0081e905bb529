"""The kill-point kit: measures what really happens to the outside world when a process dies. See docs/proof.md."""
