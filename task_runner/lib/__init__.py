"""The process that owns one task. Standard library only: everything here is forked per task."""
