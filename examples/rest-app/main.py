import click
import uvicorn


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
def main(host: str, port: int) -> None:
    """Serve the demo."""
    uvicorn.run("app.main:app", host=host, port=port)


if __name__ == "__main__":
    main()
