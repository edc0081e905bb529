"""What readers are answered from memory: the little that is asked for at every turn, as of the last durable batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.stores.sqlite.news import News

Value = TypeVar("Value")

_INTENTS_KEPT: Final = 1_024
_ANSWERS_KEPT: Final = 1_024


class Answers(Generic[Value]):
    """Answers of the database, also "there is none", kept until the record changes."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Value] = {}
        self._changes = 0

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The answer for `key`, asked for if it is not known."""
        if key in self._known:
            return self._known[key]
        before = self._changes
        answer = await ask()
        # Only if nothing changed since the question: the answer may be older than the change.
        if before == self._changes:
            if len(self._known) >= _ANSWERS_KEPT:
                self._known.clear()
            self._known[key] = answer
        return answer

    def forget(self) -> None:
        """Something changed; everything is asked for again."""
        self._changes += 1
        self._known.clear()


class Memory:
    """Kill switches, registry, policies, and intents that were written lately."""

    def __init__(self, switches: dict[str, KillSwitch]) -> None:
        self.switches: Final = switches
        self.action_types: Final[Answers[Any]] = Answers()
        self.policies: Final[Answers[Any]] = Answers()
        self._intents: OrderedDict[str, ActionIntent] = OrderedDict()

    def intent(self, action_intent_id: str) -> ActionIntent | None:
        """The intent, if it was written lately."""
        return self._intents.get(action_intent_id)

    def learn(self, news: News) -> None:
        """Takes in what a durable batch changed."""
        for intent in news.intents:
            self._intents[intent.action_intent_id] = intent
            self._intents.move_to_end(intent.action_intent_id)
        while len(self._intents) > _INTENTS_KEPT:
            self._intents.popitem(last=False)
        for switch in news.switches:
            self.switches[switch.scope] = switch
        if news.action_types:
            self.action_types.forget()
        if news.policies:
            self.policies.forget()
