"""Requests and answers as bytes and JSON."""
