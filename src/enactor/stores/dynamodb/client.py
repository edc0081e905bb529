"""DynamoDB's calls, made on a bounded pool of threads, and what every call shares: patience and paging.

The SDK is imported when a client is opened, because importing it takes longer than everything else together.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from enactor.domain.errors import ConfigurationError, StoreFailed
from enactor.ports.clock import Randomness
from enactor.stores.dynamodb.errors import Cancelled, NotNow, Unanswered, of_answer
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.wire import Item, read_item, spelled

CONNECTIONS: Final = 32
"""Calls at once; as many threads and connections."""

ATTEMPTS: Final = 12
"""How often a call is made before it is given up."""

_FIRST_PAUSE: Final = 0.025
_LONGEST_PAUSE: Final = 2.0
_CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 10
_BATCH: Final = 100
_NO_CAPACITY: Final = "DynamoDB has no capacity for this, or cannot be reached. What was acknowledged is kept."

Sleep = Callable[[float], Awaitable[None]]


class Patience:
    """How long to wait before the next attempt: exponential, with full jitter.

    Args:
        sleep: waits for seconds.
        randomness: where jitter comes from.
    """

    def __init__(self, sleep: Sleep, randomness: Randomness) -> None:
        self._sleep = sleep
        self._randomness = randomness

    async def pause(self, attempt: int) -> None:
        """Waits after the attempt, counted from 0. All attempts together wait less than 14 s, well inside the ten
        minutes in which DynamoDB knows a request token again.
        """
        await self._sleep(self._randomness.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))


class Dynamo:
    """The seven tables of one prefix.

    Args:
        client: botocore's, for DynamoDB.
        prefix: of the tables' names.
        patience: for calls that have to be repeated.
        owned: closing this closes the client.
        whole: brings back what of an item was put aside.
    """

    def __init__(
        self,
        client: Any,
        prefix: str,
        patience: Patience,
        *,
        owned: bool = True,
        whole: Callable[[Item], Awaitable[Item]] | None = None,
    ) -> None:
        self._client = client
        self._whole = whole
        self._owned = owned
        self._prefix = prefix
        self.patience: Final = patience
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="dynamodb")
        self._closed = False

    def close(self) -> None:
        """Lets go of threads and connections."""
        if not self._closed:
            self._closed = True
            self._threads.shutdown(wait=True)
            if self._owned:
                self._client.close()

    def table(self, name: str) -> str:
        """A table's whole name."""
        return f"{self._prefix}-{name}"

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call, made once.

        Args:
            operation: the client's method, such as `get_item`.

        Raises:
            Cancelled, ConditionFailed, NotNow, Unanswered, StoreFailed: see `errors`.
        """
        if self._closed:
            raise StoreFailed("The store is closed.")
        ask = functools.partial(_ask, getattr(self._client, operation), parameters)
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def patiently(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A call that may be repeated at will: a read, or a write that is the same when it is done twice."""
        for attempt in range(ATTEMPTS):
            try:
                return await self.patiently_once(operation, **parameters)
            except Cancelled:
                # A snapshot met a transaction under way.
                await self.patience.pause(attempt)
        raise StoreFailed(_NO_CAPACITY)

    async def patiently_once(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A call that is refused when it has been done already, by its condition or its token.

        Raises:
            Cancelled, ConditionFailed: it was refused; if an answer was lost before, perhaps for that reason.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self.call(operation, **parameters)
            except (NotNow, Unanswered):
                await self.patience.pause(attempt)
        raise StoreFailed(_NO_CAPACITY)

    async def whole(self, item: Item) -> Item:
        """The item, with what of it was put aside."""
        return item if self._whole is None else await self._whole(item)

    def address(self, key: Key) -> dict[str, Any]:
        """Table and key, as requests name an item."""
        return {"TableName": self.table(key.table), "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}}}

    async def get(self, key: Key) -> Item | None:
        """One item, strongly consistent."""
        answer = await self.patiently("get_item", **self.address(key), ConsistentRead=True)
        return await self.whole(read_item(answer["Item"])) if "Item" in answer else None

    async def get_all(self, keys: Iterable[Key]) -> dict[Key, Item | None]:
        """Many items, each strongly consistent, and not all of one moment."""
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item | None] = dict.fromkeys(wanted)
        parts = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]
        for part in await asyncio.gather(*(self._get_batch(part) for part in parts)):
            found.update(part)
        return found

    async def _get_batch(self, keys: Sequence[Key]) -> dict[Key, Item]:
        request: dict[str, Any] = {}
        for key in keys:
            asked = request.setdefault(self.table(key.table), {"Keys": [], "ConsistentRead": True})
            asked["Keys"].append({"pk": {"S": key.pk}, "sk": {"S": key.sk}})
        found: dict[Key, Item] = {}
        for attempt in range(ATTEMPTS):
            answer = await self.patiently("batch_get_item", RequestItems=request)
            for name, items in answer.get("Responses", {}).items():
                for spelled_out in items:
                    item = await self.whole(read_item(spelled_out))
                    found[Key(name.removeprefix(f"{self._prefix}-"), item["pk"], item["sk"])] = item
            request = answer.get("UnprocessedKeys") or {}
            if not request:
                return found
            await self.patience.pause(attempt)
        raise StoreFailed("DynamoDB has no capacity to read what was asked for.")

    async def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        """Up to 100 items as they were at one moment."""
        gets = [{"Get": self.address(key)} for key in keys]
        answer = await self.patiently("transact_get_items", TransactItems=gets)
        found = [answered.get("Item") for answered in answer["Responses"]]
        return [await self.whole(read_item(item)) if item else None for item in found]

    async def query(
        self,
        table: str,
        partition: str,
        *,
        index: int = 0,
        condition: str = "",
        values: Item | None = None,
        matching: str = "",
        names: Mapping[str, str] | None = None,
        newest_first: bool = False,
        page: int = 100,
    ) -> AsyncIterator[Item]:
        """The items of a partition, in the order of their sort keys, read as they are wanted.

        Args:
            table: without its prefix.
            partition: the partition key's value.
            index: the number of the index; 0 reads the table itself, strongly consistent.
            condition: on the sort key, which it calls `#sk`, with `values`.
            matching: a filter expression, with `values` and `names`.
            page: items read by one call, before the filter.
        """
        request: dict[str, Any] = {
            "TableName": self.table(table),
            "KeyConditionExpression": "#pk = :pk" + (f" AND {condition}" if condition else ""),
            "ExpressionAttributeNames": {"#pk": f"gsi{index}pk" if index else "pk", **(names or {})},
            "ExpressionAttributeValues": {
                ":pk": {"S": partition},
                **{name: spelled(value) for name, value in (values or {}).items()},
            },
            "ScanIndexForward": not newest_first,
            "Limit": page,
        }
        if condition:
            request["ExpressionAttributeNames"]["#sk"] = f"gsi{index}sk" if index else "sk"
        if index:
            request["IndexName"] = f"gsi{index}-index"
        else:
            request["ConsistentRead"] = True
        if matching:
            request["FilterExpression"] = matching
        while True:
            answer = await self.patiently("query", **request)
            for item in answer["Items"]:
                yield read_item(item)
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def sdk_client(
    service: str, region: str, endpoint: str | None, *, read_seconds: int = READ_SECONDS, attempts: int = 1
) -> Any:
    """A client of the SDK. Unless told otherwise it makes each call once: whoever calls decides about repeating it.

    Args:
        service: such as `dynamodb`.
        region: its name.
        endpoint: instead of the region's own; without it `AWS_ENDPOINT_URL` counts.
        read_seconds: after so long without an answer a call counts as lost.
        attempts: how often it makes a call that fails.

    Raises:
        ConfigurationError: the SDK is not installed, or its settings are wrong.
    """
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ConfigurationError("AWS needs the SDK: pip install 'enactor[aws]'.") from None
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    try:
        return _session().create_client(service, region_name=region, endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"The AWS client cannot be made: {type(error).__name__}.") from None


@functools.cache
def _session() -> Any:
    """The SDK's session, which keeps the services' descriptions once they are read."""
    import botocore.session

    return botocore.session.get_session()


def _ask(method: Callable[..., dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        return method(**parameters)
    except exceptions.ClientError as error:
        answer = error.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        raise of_answer(str(answer.get("Error", {}).get("Code", "")), status, answer) from None
    except (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError) as error:
        raise NotNow(type(error).__name__) from None
    except (exceptions.HTTPClientError, ResponseParserError) as error:
        raise Unanswered(type(error).__name__) from None
    except exceptions.BotoCoreError as error:
        raise StoreFailed(f"DynamoDB cannot be asked: {type(error).__name__}.") from None
