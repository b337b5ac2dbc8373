"""What the code says of itself: the pages of kinds and settings."""
