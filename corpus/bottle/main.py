"""A Bottle application: a template, a static file, JSON and an error."""
import argparse
from pathlib import Path

from bottle import Bottle, TEMPLATE_PATH, request, static_file, template

HERE = Path(__file__).parent
TEMPLATE_PATH.insert(0, str(HERE / "views"))
app = Bottle()


@app.get("/")
@app.get("/hello/<name>")
def hello(name="nobody"):
    return template("hello", name=name, items=["one", "two", "three"])


@app.get("/static/<name>")
def static(name):
    return static_file(name, root=HERE / "static")


@app.post("/sum")
def total():
    return {"sum": sum(request.json)}


@app.get("/broken")
def broken():
    raise ValueError("as asked")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    app.run(host="0.0.0.0", port=parser.parse_args().port)
