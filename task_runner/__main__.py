"""`python -m task_runner` is the command `task-runner`."""

from task_runner.cli.main import main

if __name__ == "__main__":
    main()
