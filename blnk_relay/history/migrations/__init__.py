"""Migrations of the tables of history, run by ``blnk-relay history upgrade``. A released one is never changed."""
