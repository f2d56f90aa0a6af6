"""Texts for people."""
TEXTS = {"result": "{} {} is {:.4f} m", "unknown": "no unit is called {}"}


def text(name):
    return TEXTS[name]
