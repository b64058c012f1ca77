"""What the API does with tasks: submit, list, watch, stop, recover, queue."""
