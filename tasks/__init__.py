"""The work of a process: the loops that deliver and confirm, which Celery's tasks start, and intents that come by name.

They know the journals and the kinds. How a request reaches the ledger is given to them by the worker that they run in.
"""
