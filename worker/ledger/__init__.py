"""The way to a ledger: connections, credentials, what is read back."""
