"""A queue that is fair between tenants: each gets its turn, however much another has waiting."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """First in, first out within a tenant; tenants take turns."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, tenant_id: str, item: Item) -> None:
        """Adds an item at the end of its tenant's line."""
        line = self._tenants.get(tenant_id)
        if line is None:
            line = self._tenants[tenant_id] = deque()
        line.append(item)
        self._size += 1

    def get(self) -> Item:
        """Takes the first item of the tenant whose turn it is. Raises `IndexError` when empty."""
        if not self._size:
            raise IndexError("the queue is empty")
        tenant_id, line = self._tenants.popitem(last=False)
        item = line.popleft()
        if line:
            self._tenants[tenant_id] = line
        self._size -= 1
        return item
