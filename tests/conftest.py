"""What every test shares: how hypothesis looks for examples, and what the suites of the ports say when they fail.

The profile `ci` (the default) tries the same examples on every run and sets no time limit on one, so that a slow
machine cannot fail a test. `HYPOTHESIS_PROFILE=explore` looks for new examples, ten times as many.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("enactor.conformance")

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
