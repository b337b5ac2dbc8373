"""The console: the answers and acts of the command line in a browser, and as JSON for scripts.

It decides nothing: all of it is :class:`blnk_relay.Operator`. Pages are made here, on the server; what runs in a
browser is htmx and a few lines of ours.
"""
