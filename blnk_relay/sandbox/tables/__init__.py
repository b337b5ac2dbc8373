"""The books as the read APIs see them."""
