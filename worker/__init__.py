"""What runs the tasks: the Celery application, the way to the ledger, the command line."""
