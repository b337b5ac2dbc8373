"""History: what is over, dead or was done by operators, in a database of the user's; an archive and a search.

Nothing here speaks with Redis, and nothing of the promise rests on it. Whoever imports a module of this package needs
SQLAlchemy, which ``blnk-relay-worker[history]`` brings.
"""
