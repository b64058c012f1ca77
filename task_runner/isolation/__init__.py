"""What TaskRunner puts around a machine: the isolations."""
