"""Where TaskRunner starts: the environments."""
