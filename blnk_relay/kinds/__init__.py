"""The kinds of writes, one a file: kind ``a.b`` is ``a_b.py``."""
