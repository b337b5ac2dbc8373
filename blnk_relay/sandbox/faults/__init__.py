"""What can go wrong, and which request it strikes."""
