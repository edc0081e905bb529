"""What a commit has looked at and wants to write, before any of it is sent.

`Images` are items as they were read, or as an earlier commit of this process left them; those of the second kind are
guesses that the transaction checks. A `Layer` lies over them: the writes of commits that will share a transaction,
and above it those of one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.wire import Item


class NeedItems(Exception):
    """The commands cannot be judged before these items are read."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__()
        self.keys = tuple(keys)


class NeedStarts(Exception):
    """A budget's window is new: what has started in it has to be counted first.

    Attributes:
        window: where the count will be kept.
    """

    def __init__(self, window: Key, tenant_id: str, action_type: str, first: int, last: int) -> None:
        super().__init__()
        self.window = window
        self.tenant_id = tenant_id
        self.action_type = action_type
        self.first = first
        self.last = last


class OfIntent(Struct, frozen=True):
    """Where the records of an intent are, besides those whose places are known from its id.

    Attributes:
        entries: of the ledger, those that still have their data.
        erased: how many entries have none any more.
    """

    revisions: tuple[Key, ...]
    approvals: tuple[Key, ...]
    outcomes: tuple[Key, ...]
    entries: tuple[Key, ...]
    erased: int


class NeedOfIntent(Exception):
    """The records of an intent have to be found first."""

    def __init__(self, action_intent_id: str, tenant_id: str, account_id: str) -> None:
        super().__init__()
        self.action_intent_id = action_intent_id
        self.tenant_id = tenant_id
        self.account_id = account_id


class NeedErased(Exception):
    """These entries of the ledger have to be erased first: there are more than one transaction can hold."""

    def __init__(self, action_intent_id: str, entries: Iterable[Key]) -> None:
        super().__init__()
        self.action_intent_id = action_intent_id
        self.entries = tuple(entries)


class Images:
    """Items as they are known. None is an item that is known not to be there."""

    def __init__(self, guesses: Mapping[Key, Item]) -> None:
        self._guesses = guesses
        self._read: dict[Key, Item | None] = {}
        self.counted: Final[dict[Key, int]] = {}
        self.of_intents: Final[dict[str, OfIntent]] = {}

    def get(self, key: Key) -> Item | None:
        """The item. Raises `NeedItems` when nothing is known of it."""
        if key in self._read:
            return self._read[key]
        found = self._guesses.get(key)
        if found is None:
            raise NeedItems([key])
        return found

    def known(self, key: Key) -> bool:
        """Whether anything is known of it."""
        return key in self._read or key in self._guesses

    def guessed(self, keys: Iterable[Key]) -> list[Key]:
        """Those of `keys` that are not read but guessed."""
        return [key for key in keys if key not in self._read]

    def update(self, read: Mapping[Key, Item | None]) -> None:
        """Remembers what was read."""
        self._read.update(read)


class Layer:
    """Writes over what lies below.

    Attributes:
        writes: what will be there; None is an item that will be gone.
        seen: the items whose content a condition hung on: the transaction requires that they are unchanged.
        read: every item that was looked at, those included that no condition hung on.
        absent: items that must not be there before.
        changes: attributes of items that are changed without looking at the rest.
        changed: the intents that the commit changes, and whether each is new.
    """

    def __init__(self, images: Images, below: Layer | None = None) -> None:
        self.images: Final = images
        self._below = below
        self.writes: Final[dict[Key, Item | None]] = {}
        self.seen: Final[set[Key]] = set()
        self.absent: Final[set[Key]] = set()
        self.read: Final[set[Key]] = set()
        self.changes: Final[dict[Key, Item]] = {}
        self.changed: Final[dict[str, bool]] = {}

    def get(self, key: Key) -> Item | None:
        """The item as it will be after what is below; the transaction requires that it is so."""
        self.seen.add(key)
        return self.peek(key)

    def peek(self, key: Key) -> Item | None:
        """The same, where nothing hangs on later changes: of what never changes, or only to word a conflict."""
        self.read.add(key)
        layer: Layer | None = self
        while layer is not None:
            if key in layer.writes:
                return layer.writes[key]
            layer = layer._below
        return self.images.get(key)

    def before(self, key: Key) -> Item | None:
        """The item as it was before this layer's own writes."""
        return self._below.peek(key) if self._below is not None else self.images.get(key)

    def put(self, key: Key, item: Item) -> None:
        """Writes the item. If it was not looked at, another condition has to guard it."""
        self.writes[key] = item

    def put_new(self, key: Key, item: Item) -> None:
        """Writes an item that cannot be there yet; the transaction requires it."""
        self.absent.add(key)
        self.writes[key] = item

    def delete(self, key: Key) -> None:
        """Deletes the item, if it is there."""
        self.writes[key] = None

    def change(self, key: Key, attributes: Item) -> None:
        """Changes some attributes of an item that is there, whatever the others are."""
        layer: Layer | None = self
        while layer is not None:
            stored = layer.writes.get(key)
            if stored is not None:
                self.writes[key] = {**stored, **attributes}
                return
            layer = layer._below
        self.changes[key] = attributes

    def written(self, wanted: Callable[[Item], bool]) -> list[Key]:
        """The items that this layer and those below write, as far as they are wanted."""
        found: dict[Key, None] = {}
        layer: Layer | None = self
        while layer is not None:
            found.update({key: None for key, item in layer.writes.items() if item is not None and wanted(item)})
            layer = layer._below
        return list(found)

    def mark(self, action_intent_id: str, *, new: bool = False) -> None:
        """Remembers that what reports know of the intent has to be written again."""
        self.changed[action_intent_id] = new or self.changed.get(action_intent_id, False)

    def absorb(self, above: Layer) -> None:
        """Takes over what a commit above wants."""
        self.writes.update(above.writes)
        self.seen.update(above.seen)
        self.absent.update(above.absent)
        self.changes.update(above.changes)

    def keys(self) -> set[Key]:
        """The items that the transaction will have."""
        return self.seen | self.writes.keys() | self.changes.keys()
