"""The policy engine: answers questions from policies, and explains its answers."""

from __future__ import annotations

from typing import Protocol

from enactor.domain.policy import PolicyAnswer, PolicyQuestion, PolicySet


class PolicyEngine(Protocol):
    """Evaluates the built-in policies together with a tenant's own."""

    def version(self, policies: PolicySet | None) -> str:
        """A version of the whole set, bound into approval digests."""
        ...

    def check(self, text: str) -> None:
        """Raises `InvalidPolicy`, saying where, unless `text` parses and fits the schema."""
        ...

    def ask(self, question: PolicyQuestion, policies: PolicySet | None) -> PolicyAnswer:
        """The answer; an error in evaluating any policy answers no."""
        ...
