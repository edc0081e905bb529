"""The model of the protocol: nothing goes wrong with all its rules, and something does without any single one."""

import pytest

from killpoints.model.cases import CASES, WITHOUT_THE_ASSUMPTION
from killpoints.model.explore import explore
from killpoints.model.rules import Assumption, Rule
from killpoints.model.state import TOOLS, Bounds


@pytest.mark.parametrize("rule", Rule)
def test_each_rule_is_needed(rule: Rule) -> None:
    """Left out, something goes wrong; kept, nothing does within everything that was looked at to find it."""
    semantics, bounds = CASES[rule]
    without = explore(semantics, bounds, rule)
    assert without.violation, "the protocol could do without it"
    assert without.trace
    kept = explore(semantics, bounds, most=without.states)
    assert kept.violation == "", " | ".join(kept.trace)


def test_the_one_assumption_is_needed() -> None:
    """A caller that stands between check and send for longer than max_pause makes a second effect: it is documented."""
    semantics, bounds = WITHOUT_THE_ASSUMPTION
    without = explore(semantics, bounds, None, Assumption.PAUSE)
    assert without.violation == "it was done twice"
    assert without.trace[-1].endswith("sends: done")


@pytest.mark.parametrize("semantics", TOOLS)
def test_nothing_goes_wrong(semantics: str) -> None:
    """Two workers, deaths, lost and late replies, a switch, people: the first thousands of states, breadth first."""
    found = explore(semantics, Bounds(), most=2_500)
    assert found.violation == "", " | ".join(found.trace)
    assert found.states > 2_500
