"""How commits of many processes to few chains get in each other's way, counted against the emulator.

    python -m benchmarks.dynamodb

Each store is one process as far as the tables can tell: it knows nothing of the others. The emulator serves one request
after the other, so this counts how often a transaction finds its chain's head moved, and not how often DynamoDB itself
would call two transactions at the same moment a conflict; times say nothing about DynamoDB and are not shown.
"""

import asyncio
import os

from enactor.conformance.aws import Emulator
from enactor.conformance.aws.emulator import CREDENTIALS
from enactor.conformance.aws.stores import client_of, opened
from enactor.conformance.builders import Builder
from enactor.conformance.clocks import ManualClock

COMMITS = 240
CASES = [(stores, chains) for stores in (1, 2, 4, 8) for chains in (1, 4, 16)]


async def measured(emulator: Emulator, client: object, stores: int, chains: int) -> tuple[int, int, int]:
    """Transactions sent, those of them that were cancelled, and reading calls, for `COMMITS` commits."""
    emulator.empty_tables()
    clock = ManualClock()
    build = Builder(clock)
    opens = [await opened(client, clock) for _ in range(stores)]
    intents = [build.intent(account_id=f"account-{number}") for number in range(chains)]
    emulator.count_anew()
    await asyncio.gather(
        *(
            opens[number % stores].commit([build.entry(intents[number // stores % chains]) for _ in range(2)])
            for number in range(COMMITS)
        )
    )
    counts = emulator.counts()
    for store in opens:
        await store.close()
    reads = sum(number for name, number in counts["calls"].items() if name != "TransactWriteItems")
    return counts["calls"]["TransactWriteItems"], counts["items"].get("cancelled", 0), reads


async def main() -> None:
    """Prints a table."""
    os.environ.update(CREDENTIALS)
    with Emulator() as emulator:
        client = client_of(emulator)
        print(f"{COMMITS} commits of two ledger entries each, all asked for at once")
        print("| processes | chains | transactions | of them cancelled | reads | sent per commit |")
        print("|---|---|---|---|---|---|")
        for stores, chains in CASES:
            sent, cancelled, reads = await measured(emulator, client, stores, chains)
            print(f"| {stores} | {chains} | {sent} | {cancelled} | {reads} | {sent / COMMITS:.2f} |")
        client.close()


if __name__ == "__main__":
    asyncio.run(main())
