"""Journals as a version of this code left them, and what makes them: ``python -m tests.frozen``."""
