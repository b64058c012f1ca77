"""Reading the log of a task: followed live, from anywhere, searched."""
