"""What a task left in its directory: listed, read and packed, with no way out of it."""
