"""The command line `task-runner`: one verb, one file. It knows a node only through the client."""
