"""A component that starts and monitors tasks, each a durable process of its own."""
