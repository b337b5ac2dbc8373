"""The demo: payments over a ledger that misbehaves and a worker that dies, counted to the last one."""
