"""The project's benchmark: `make bench` prints one table and writes it to `bench/RESULTS.md`."""
