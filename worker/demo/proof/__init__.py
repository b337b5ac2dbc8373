"""The proof of the demo: what the journal says against what the books hold."""
