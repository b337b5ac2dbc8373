"""The Celery tasks: deliver and confirm, and the sweep between them.

They know the journal and the kinds. How a request reaches the ledger is given to them by the worker that runs them.
"""
