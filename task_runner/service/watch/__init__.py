"""Nothing is forgotten: tasks are started, watched to their end, and found again."""
