"""What Core does with what it is sent."""
