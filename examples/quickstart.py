"""An agent proposes, a person approves, and it happens exactly once."""

import asyncio

from enactor import Enactor, WriteSemantics, agent, person, tool


@tool(write=WriteSemantics.IDEMPOTENT, summary="Refund {amount} cents of payment {payment_id}")
def refund(payment_id: str, amount: int) -> None:
    print(f"refunding {amount} cents of {payment_id}")


async def main() -> None:
    planner, ana = agent("planner"), person("ana")
    async with Enactor.open("sqlite:///quickstart.db", connectors=[refund]) as enactor:
        order = {"payment_id": "pay_42", "amount": 1250}
        intent = await enactor.propose("FUNCTION_REFUND", account_id="acme", parameters=order, by=planner)
        await enactor.approve(intent.action_intent_id, digest=intent.approval_digest, by=ana)
        outcome = await enactor.outcome(intent.action_intent_id, timeout=30)
        print(outcome.status, (await enactor.verify_ledger()).ok)


asyncio.run(main())
