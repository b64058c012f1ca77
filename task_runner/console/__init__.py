"""The web console: pages and scripts for a browser, which talk to the HTTP API and nothing else."""
