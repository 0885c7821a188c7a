"""Write the sources of the documentation: the written pages, and one for each public name of each room.

Run by ``scripts/docs``: ``python scripts/documentation/pages.py build/docs-sources``.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROOMS = (
    *("transforms", "losses", "networks", "engines", "imageio", "datalists", "data", "inferers"),
    *(
        "metrics",
        "handlers",
        "weights",
        "report",
        "phantoms",
        "export",
        "own_data",
        "bundle",
        "experiments",
        "labelling",
    ),
)


def write_pages(target: Path) -> None:
    """Write everything that Sphinx reads into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "api").mkdir(parents=True)
    shutil.copy(HERE / "conf.py", target)
    for page in HERE.glob("*.md"):
        shutil.copy(page, target)
    for name, source in {
        "readme": "README.md",
        "architecture": "monai_supmix/README.md",
        "changes": "CHANGELOG.md",
    }.items():
        copy_page(ROOT / source, target / f"{name}.md")
    seen: set[int] = set()
    for room in ROOMS:
        write_room(room, target / "api", seen)
    rooms = "\n".join(f"api/{room}" for room in ROOMS)
    (target / "api.md").write_text(
        f"# Names of the package\n\n```{{toctree}}\n:maxdepth: 2\n\n{rooms}\n```\n", encoding="utf-8"
    )


def copy_page(source: Path, target: Path) -> None:
    """Copy a page, its pictures beside it; links to other files of the repository become their names."""
    text = source.read_text(encoding="utf-8")
    for link in re.findall(r"!\[[^\]]*\]\((?!https?:)([^)]+)\)", text):
        place = target.parent / "pictures" / Path(link).name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(source.parent / link, place)
        text = text.replace(f"]({link})", f"](pictures/{place.name})")
    text = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)[^)]+\)", r"\1", text)
    target.write_text(text, encoding="utf-8")


def write_room(room: str, folder: Path, seen: set[int]) -> None:
    """Write the page of a room and of each of its public names, those aside that an earlier room has."""
    module = importlib.import_module(f"monai_supmix.{room}")
    names = [name for name in module.__all__ if is_new(getattr(module, name), seen)]
    about = inspect.cleandoc(module.__doc__ or "").splitlines()[0]
    listed = "\n".join(f"{room}.{name}" for name in names)
    toctree = f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n" if listed else ""
    (folder / f"{room}.md").write_text(f"# {room}\n\n{about}\n\n{toctree}", encoding="utf-8")
    for name in names:
        kind = (
            "class"
            if inspect.isclass(getattr(module, name))
            else "function"
            if callable(getattr(module, name))
            else "data"
        )
        options = "\n   :members:\n   :special-members: __call__" if kind == "class" else ""
        title = f"{name}\n{'=' * len(name)}\n\n"
        home = documented_in(f"monai_supmix.{room}", name) if kind == "data" else f"monai_supmix.{room}"
        text = f"{title}.. auto{kind}:: {home}.{name}{options}\n"
        (folder / f"{room}.{name}.rst").write_text(text, encoding="utf-8")


def documented_in(room: str, name: str) -> str:
    """The module of a room that assigns a constant: Sphinx finds its docstring only in that module's source."""
    assigned = re.compile(rf"^{name}\b[^=\n]*=", re.M)
    modules = {key: module for key, module in sys.modules.items() if key.startswith(f"{room}.")}
    return next((key for key, module in modules.items() if assigned.search(inspect.getsource(module))), room)


def is_new(thing: object, seen: set[int]) -> bool:
    """Whether a name has no page yet: aliases and what rooms hand on have one."""
    new = id(thing) not in seen
    seen.add(id(thing))
    return new


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
