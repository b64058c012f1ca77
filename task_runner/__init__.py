"""A component that starts and monitors tasks, each a durable process of its own."""

__version__ = "0.1.0"
