import argparse
import sys

import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    return {"python": list(sys.version_info[:2])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve one page.")
    parser.add_argument("--port", type=int, default=8000)
    bottle.run(app, host="127.0.0.1", port=parser.parse_args().port)
