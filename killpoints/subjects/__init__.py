"""Subjects: what is put to the proof. Each is a program that carries out a plan and says what became of every order.

A plan is JSON: `{"orders": [{"order", "kind", "timeout"}], "folder", "world", "report", "patience", "retries"}`, where
`timeout` is for how many seconds a reply is waited for, and `patience`, a safeguard, for how many look-ups may try to
end a doubt. The program submits each order as an approved one (again, under the same identity, after a restart), goes
on until every order is settled as far as it will be, writes `{order: {"says", "refs", "detail"}}` to `report` and exits
with 0. It may be killed at any instant, and is then started again with the same plan, or one of more orders. What it
may say is in `killpoints.judge.Says`.
"""
