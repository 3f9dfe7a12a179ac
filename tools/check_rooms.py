"""Holds the #include lines of src/ against the rooms of the architecture. usage: check_rooms.py [DIR]

Prints one line for each breach and exits 1 if there is any. `allowed` names the rooms whose headers a room may include
besides its own; `only` names who alone may include a library's header; outside cli/ nothing prints or exits.
"""
import pathlib
import re
import sys

below = ["base", "formats", "store", "parallel", "kernels", "text", "model", "sample", "train"]
allowed = {
    "base": [], "formats": ["base"], "store": ["base"], "parallel": ["base"], "kernels": ["base"],
    "text": ["base", "formats"], "model": ["base", "formats", "kernels"],
    "sample": ["base", "formats", "text", "model", "kernels"],
    "train": ["base", "formats", "kernels", "parallel", "model"],
    "align": below, "eval": [*below, "align"], "report": ["base", "store"],
    "cli": [*below, "align", "eval", "report"],
}
only = {"dnnl.h": "kernels/gemm", "oneapi": "kernels/gemm", "sqlite3.h": "store/", "mpi.h": "parallel/", "curl/curl.h": "eval/judge_client"}
prints = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror|exit|abort)\s*\(|\b(stdout|stderr)\b")
banned = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atof|rand|srand|strtok)\s*\(")


def code_of(text):
    """The text without comments and string contents, line by line."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', "", text)


def breaches(root):
    for path in sorted([*root.glob("src/**/*.c"), *root.glob("src/**/*.h")]):
        name = path.relative_to(root / "src").as_posix()
        room = name.split("/")[0]
        text = path.read_text(encoding="utf-8")
        if room not in allowed:
            yield f"src/{name}: {room}/ is no room of the architecture"
            continue
        for number, line in enumerate(text.splitlines(), 1):
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            system = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if own and own[1].split("/")[0] not in [room, *allowed[room]]:
                yield f"src/{name}:{number}: {room}/ may not include {own[1]}"
            for library, place in only.items():
                if system and (system[1] == library or system[1].startswith(library + "/")) and not name.startswith(place):
                    yield f"src/{name}:{number}: only src/{place}* may include <{system[1]}>"
        for number, line in enumerate(code_of(text).splitlines(), 1):
            if room != "cli" and prints.search(line):
                yield f"src/{name}:{number}: only cli/ prints or exits: {line.strip()}"
            if banned.search(line):
                yield f"src/{name}:{number}: banned call: {line.strip()}"
        if len(text.splitlines()) > 600:
            yield f"src/{name}: {len(text.splitlines())} lines, over 600: which noun is missing?"


if __name__ == "__main__":
    found = list(breaches(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)
