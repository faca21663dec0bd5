"""Makes frames.json: what pandas' DataFrame.to_json says of some frames in each of its orients.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pandas
    /tmp/venv/bin/python tests/orient/make.py > tests/orient/frames.json

Made with pandas 3.1.1. A frame holds JSON values as Python has them. Texts are objects, as they were before pandas 3,
which marks them in the schema of a table with an extDtype.
"""

import json

import pandas

FRAMES = {
    "an empty frame": (["id", "temp"], []),
    "a frame with one row": (["id", "temp"], [["d1", 20.5]]),
    "three rows of one type each": (
        ["id", "n", "temp", "on"],
        [["d1", 1, 20.5, True], ["d2", 2, -3.25, False], ["d3", 3, 1e30, True]],
    ),
    "null in each type": (
        ["id", "n", "temp", "on", "nothing"],
        [["d1", 1, 20.5, True, None], [None, None, None, None, None], ["d3", 3, 0.5, False, None]],
    ),
    "types that are mixed": (
        ["a", "b", "c", "d"],
        [["d1", 1, True, 1], [2, 2.5, 0, "1"], [False, 3, "x", None]],
    ),
    "values with values in them": (
        ["id", "reported", "list"],
        [["d1", {"on": True, "net": {"ip": "1.2.3.4"}}, [1, "2", None]], ["d2", {}, []], ["d3", None, [[{}]]]],
    ),
    "names and texts with signs in them": (
        ['a "quoted" name', "Grüße", "index"],
        [['\\ / " \n', "🔆", "a/b"]],
    ),
}
ORIENTS = ["records", "split", "index", "columns", "values", "table"]


def shapes(columns, rows):
    frame = pandas.DataFrame(rows, columns=columns)
    said = {}
    for orient in ORIENTS:
        try:
            said[orient] = json.loads(frame.to_json(orient=orient, double_precision=15))
        except Exception as error:
            said[orient] = {"pandas cannot": str(error)}
    return said


def main():
    pandas.options.future.infer_string = False
    frames = [
        {"about": about, "columns": columns, "rows": rows, "shapes": shapes(columns, rows)}
        for about, (columns, rows) in FRAMES.items()
    ]
    print(json.dumps(frames, indent=1, ensure_ascii=False))


main()
