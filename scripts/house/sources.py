"""Reads Swift sources as the compiler's own parser sees them (`swiftc -frontend -dump-parse`), and says of each file what the
limits and figures of this folder are about: functions, types, stored properties, imports, comments."""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "Sources"
TESTS = ROOT / "Tests"

TYPES = {"class_decl", "struct_decl", "enum_decl", "actor_decl", "protocol_decl", "extension_decl"}
FUNCTIONS = {"func_decl", "constructor_decl", "destructor_decl", "subscript_decl"}

#: A node of the parser's tree: how deep it lies, its kind, its first and last line, the rest of its line.
NODE = re.compile(r"^( *)\((\w+)(?:.*? range=\[[^\]]*?:(\d+):\d+ - line:(\d+):\d+\])?(.*)$")


@dataclasses.dataclass
class Function:
    name: str
    line: int
    lines: int
    parameters: int


@dataclasses.dataclass
class Type:
    """A type, or an extension of one, in one file."""

    name: str
    line: int
    lines: int
    stored: int
    #: Functions, initialisers and computed properties with a body.
    behaviour: int
    is_extension: bool


@dataclasses.dataclass
class Variable:
    """A property, until one of its accessors says that it is computed."""

    type: Type
    counts: bool


@dataclasses.dataclass
class SwiftFile:
    path: pathlib.Path
    text: str
    functions: list
    types: list
    imports: list

    @property
    def name(self):
        return self.path.relative_to(ROOT).as_posix()

    @property
    def lines(self):
        return self.text.split("\n")[:-1] if self.text.endswith("\n") else self.text.split("\n")

    @property
    def target(self):
        return self.path.relative_to(ROOT).parts[1]


def swift_files(folder):
    return sorted(path for path in folder.rglob("*.swift") if ".build" not in path.as_posix())


def read(paths):
    """Parses files, as many at a time as there are cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(parse, paths))


def parse(path):
    made = subprocess.run(["swiftc", "-frontend", "-dump-parse", str(path)], capture_output=True, text=True, check=False)
    if not made.stdout:
        raise SystemExit(f"{path}: the compiler can't parse it: {made.stderr[:400]}")
    file = SwiftFile(path, path.read_text(), [], [], [])
    #: What the line belongs to, outermost first: (depth, kind, Type or Function).
    around = []
    for line in made.stdout.split("\n"):
        node = NODE.match(line)
        if node is None:
            continue
        depth, kind = len(node[1]), node[2]
        while around and around[-1][0] >= depth:
            around.pop()
        declares = _take(file, around, depth, kind, node)
        if declares is not None:
            around.append((depth, kind, declares))
    return file


def _take(file, around, depth, kind, node):
    """Takes in one node; what it declares, where nodes within belong to it."""
    outer_depth, outer_kind, outer = around[-1] if around else (-2, None, None)
    is_member = depth == outer_depth + 2
    if kind == "import_decl":
        file.imports.append(re.search(r'module="([^"]*)"', node[5])[1])
    elif kind in TYPES and node[3]:
        # Of an extension what it extends; of a type its name.
        name = re.match(r'\s*"?([\w.]+)', node[5].replace("unbound ", "").replace("extended_type=", ""))
        names = [declared.name for _, of, declared in around if of in TYPES]
        full = ".".join(names[-1:] + [name[1] if name else "?"])
        type = Type(full, int(node[3]), int(node[4]) - int(node[3]) + 1, 0, 0, kind == "extension_decl")
        file.types.append(type)
        return type
    elif kind in FUNCTIONS and node[3]:
        name = re.match(r'\s*"([^"]*)"', node[5])
        owner = outer.name + "." if isinstance(outer, Type) else ""
        function = Function(owner + (name[1] if name else kind), int(node[3]), int(node[4]) - int(node[3]) + 1, 0)
        if isinstance(outer, Type) and is_member and kind != "constructor_decl":
            outer.behaviour += 1
        # A requirement of a protocol has no body to be long.
        if outer_kind != "protocol_decl":
            file.functions.append(function)
        return function
    elif kind == "parameter" and isinstance(outer, Function) and depth == outer_depth + 4:
        outer.parameters += 1
    elif kind == "var_decl" and isinstance(outer, Type) and is_member:
        if " static" not in node[5] and outer_kind != "protocol_decl":
            outer.stored += 1
        return Variable(outer, " static" not in node[5])
    elif kind == "accessor_decl" and isinstance(outer, Variable) and re.search(r"\b(get|read)\b", node[5]):
        if outer.counts:
            outer.type.stored -= 1
            outer.counts = False
        outer.type.behaviour += 1
    return None
