"""`task-runner events`: what happens to all tasks."""

import click

from task_runner.cli.output import FORMATS


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option("--cursor", help="Only what follows this event; `now`: only what comes.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="table", help="How to show it.")
def events(*, follow: bool, cursor: str | None, output: str) -> None:
    """Show the changes of state of all tasks, oldest first, one a line."""
    from task_runner.cli.columns import text
    from task_runner.cli.node import PATIENCE, QUICK, connected
    from task_runner.cli.output import show_line, show_list

    with connected(PATIENCE if follow else QUICK) as client:
        found = client.events(cursor=cursor, follow=follow)
        if output == "json":
            show_list([event.data for event in found])
            return
        for event in found:
            match output:
                case "ndjson":
                    show_line(event.data)
                case "name":
                    print(event.task_id, flush=True)
                case _:
                    how = event.outcome and f"{event.outcome} {text(event.exit_code)}"
                    at = event.data["at"]
                    print(
                        f"{at}  {event.task_id:12}  {event.state:8}  {how or ''}".rstrip(),
                        flush=True,
                    )
