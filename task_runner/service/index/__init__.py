"""The index of all tasks, and who hears of its changes."""
