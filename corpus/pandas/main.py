"""Reads a CSV, groups, resamples, solves, and writes a CSV."""
from pathlib import Path
import tempfile

import numpy as np
import pandas as pd

sales = pd.read_csv(Path(__file__).with_name("sales.csv"), parse_dates=["when"])
print(sales.dtypes.to_string())
print(sales.groupby("city", observed=True)["amount"].agg(["sum", "mean", "count"]))
print(sales.pivot_table(index="city", columns="kind", values="amount", aggfunc="sum"))
local = sales.set_index("when").tz_localize("UTC").tz_convert("Europe/Vienna")
print(local["amount"].resample("D").sum())
print(sales.merge(pd.DataFrame({"city": ["Graz", "Linz"], "people": [300, 210]}), on="city").describe())
print(sales["city"].str.upper().value_counts().to_dict())
print(sales.query("amount > 20 and kind == 'tea'").to_json(orient="records", date_format="iso"))

a = np.array([[4.0, 1.0], [2.0, 3.0]])
print(np.linalg.solve(a, [1.0, 2.0]), np.linalg.eigvals(a), np.linalg.det(a).round(3))
print(np.fft.rfft([0.0, 1.0, 0.0, -1.0]).round(3), np.random.default_rng(1).integers(0, 9, 5))
print(np.polynomial.Polynomial([1, 2, 3])(2.0))

with tempfile.TemporaryDirectory() as directory:
    out = Path(directory, "out.csv.gz")
    sales.to_csv(out, index=False)
    print(pd.read_csv(out).equals(pd.read_csv(Path(__file__).with_name("sales.csv"))))
