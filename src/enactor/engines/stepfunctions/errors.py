"""Errors by which a step's function tells the state machine where to go.

Step Functions compares `ErrorEquals` with the bare name of the class that a Python function raised, so these names are
part of the definition. A message holds a code and nothing else: it stays readable in the execution's history.
"""

from __future__ import annotations


class TransientError(Exception):
    """Nothing was decided, and trying again may help: a throttled or unreachable store. Retried with backoff."""


class PermanentError(Exception):
    """The step has refused the run. Nothing is recorded yet; RecordFailure is next."""


class DuplicateExecution(Exception):
    """Somebody else has the run, or it is over. A duplicate changes nothing."""


class RunInProgress(Exception):
    """The run has gone further than this step. Recover is next."""


class NothingToRun(Exception):
    """There is no such intent, or no approval in force: no lock was taken, so there is nothing to record."""
