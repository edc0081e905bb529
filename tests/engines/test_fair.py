"""The queue that is fair between tenants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enactor.engines.local.fair import FairQueue

PUTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=40)


@given(PUTS)
def test_first_in_first_out_within_a_tenant(puts: list[tuple[str, int]]) -> None:
    """Nothing is lost, nothing comes twice, and a tenant's items keep their order."""
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for tenant, item in puts:
        queue.put(tenant, (tenant, item))
    assert len(queue) == len(puts)
    got = [queue.get() for _ in puts]
    for tenant in "abc":
        assert [item for item in got if item[0] == tenant] == [put for put in puts if put[0] == tenant]
    assert len(queue) == 0
    with pytest.raises(IndexError):
        queue.get()


@given(PUTS)
def test_nobody_waits_for_more_than_one_of_each_other_tenant(puts: list[tuple[str, int]]) -> None:
    """Between two items of a tenant there is at most one of every other: how much one has waiting does not matter."""
    queue: FairQueue[str] = FairQueue()
    for tenant, _ in puts:
        queue.put(tenant, tenant)
    got = [queue.get() for _ in puts]
    left = {tenant: got.count(tenant) for tenant in "abc"}
    since: dict[str, list[str]] = {tenant: [] for tenant in "abc"}
    for tenant in got:
        for other in "abc":
            if other != tenant and left[other]:
                since[other].append(tenant)
                assert len(since[other]) == len(set(since[other]))
        since[tenant] = []
        left[tenant] -= 1
