"""A Flask application: a template, a static file, JSON, a session, an error."""
from flask import Flask, jsonify, render_template, request, session

app = Flask(__name__)
app.secret_key = "not secret: an example"


@app.get("/")
@app.get("/hello/<name>")
def hello(name="nobody"):
    session["name"] = name
    return render_template("hello.html", name=name, items=["one", "two", "three"])


@app.post("/sum")
def total():
    return jsonify(sum=sum(request.json))


@app.get("/broken")
def broken():
    raise ValueError("as asked")
