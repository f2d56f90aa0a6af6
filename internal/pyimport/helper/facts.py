"""Says what is written in Python files, by their syntax trees. It decides
nothing: which of it leads to a file is the caller's affair.

usage: facts.py LIST OUT
LIST is a JSON list of paths. OUT gets facts-N.json, each an object from path
to facts. Runs on Python 3.9 and newer, imports nothing of the files.
"""
import ast
import json
import os
import re
import sys
import warnings

OPTIONAL, IN_FUNCTION, MAIN_ONLY, LAZY = 1, 2, 4, 8
UNKNOWN, SELF, PACKAGE = "\0", "\1", "\2"  # in patterns: anything, __name__, __package__

DOTTED = re.compile(r"\.{0,3}[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d][\w.]*)?\Z")
PREFIX = re.compile("[\\w.\1\2]*\\.\\w*\0")
GROUP = re.compile(r"[\w.:-]{2,80}\Z")
IMPORTERS = {
    "import_module", "__import__", "run_module", "find_spec", "find_loader", "import_string", "import_object",
    "load_module", "import_from_string", "lazy_import", "optional_import", "import_optional_dependency",
    "try_import", "importorskip", "gpo_import",
}
SURE = {"import_module", "__import__", "run_module"}
RESOURCES = {"files", "open_text", "open_binary", "read_text", "read_binary", "get_data", "contents", "is_resource",
             "resource_filename", "resource_string", "resource_stream", "as_file"}
PLUGINS = re.compile("(?i)entry_?points?|(extension|driver|hook)manager$")
METADATA = {"version", "distribution", "metadata", "requires", "get_distribution"}
IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
PLATFORM = {
    "sys.platform": sys.platform, "os.name": os.name, "sys.version_info": tuple(sys.version_info),
    "sys.implementation.name": sys.implementation.name, "sys.byteorder": sys.byteorder, "sys.maxsize": sys.maxsize,
    "sys.version_info.major": sys.version_info[0], "sys.version_info.minor": sys.version_info[1],
    "sys.hexversion": sys.hexversion,
}
MAIN = object()  # the value of __name__ == "__main__"
NONE = object()  # not known


def dotted(node):
    """a.b.c of names and attributes, or None."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    parts.append(node.id)
    return ".".join(reversed(parts))


def pattern(node):
    """What is known of the string that node gives."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else UNKNOWN
    if isinstance(node, ast.Name):
        return {"__name__": SELF, "__package__": PACKAGE}.get(node.id, UNKNOWN)
    if isinstance(node, ast.Attribute):
        return {"__spec__.parent": PACKAGE, "__spec__.name": SELF}.get(dotted(node), UNKNOWN)
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return pattern(node.left) + pattern(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        left = pattern(node.left)
        args = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
        return fill(left, r"%[-#0 +]*\d*(?:\.\d+)?[sdr]|%\(\w+\)s", args) if left != UNKNOWN else UNKNOWN
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        left = pattern(node.func.value)
        return fill(left, r"\{[^{}]*\}", node.args) if left != UNKNOWN else UNKNOWN
    return UNKNOWN


def fill(text, field, args):
    """text with its fields replaced by args; a field with a name or a number is UNKNOWN."""
    values = [pattern(a) for a in args]
    return re.sub(field, lambda m: values.pop(0) if values and m.group() in ("{}", "%s") else UNKNOWN, text)


class File:
    def __init__(self, module):
        self.uses = []
        self.strings = {}
        self.patterns = {}
        self.exports = []
        self.flags = set()
        self.alias = {}
        self.const = {}
        self.all_strings = False
        self.prepare(module)
        self.block(module.body, 0, True)

    # -- what holds for the whole file

    def prepare(self, module):
        candidates = {}
        stored = {}
        for node in ast.walk(module):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                base = getattr(node, "module", None)
                for a in node.names:
                    name = a.asname or a.name
                    stored[name] = stored.get(name, 0) + 1
                    if isinstance(node, ast.Import):
                        if a.asname and a.name in ("sys", "os", "platform", "typing"):
                            self.alias[a.asname] = a.name
                    elif base in ("sys", "os", "platform") and not node.level:
                        self.alias[name] = base + "." + a.name
                    if a.name in ("entry_points", "iter_entry_points"):
                        self.flags.add("groups")
            elif isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    if node.id == "__file__":
                        self.flags.add("file")
                    elif node.id in ("entry_points", "iter_entry_points"):
                        self.flags.add("groups")
                else:
                    stored[node.id] = stored.get(node.id, 0) + 1
            elif isinstance(node, ast.Call):
                f = node.func
                name = f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")
                if name in IMPORTERS and node.args and UNKNOWN in pattern(node.args[0]):
                    self.flags.add("dynamic")
                elif name == "attach" or "lazymodule" in name.lower() or "lazy_import" in name.lower():
                    self.flags.add("lazy")
            elif isinstance(node, ast.Attribute) and node.attr in ("entry_points", "iter_entry_points"):
                self.flags.add("groups")
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                stored[node.name] = stored.get(node.name, 0) + 1
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
                self.flags.add("lazy")
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                candidates[node.targets[0].id] = node.value
        self.all_strings = bool(self.flags & {"lazy", "dynamic", "groups"})
        for name, value in candidates.items():
            if stored.get(name) == 1 and self.of_platform(value):
                known = self.value(value)
                if known is not NONE and known is not MAIN:
                    self.const[name] = known

    def of_platform(self, node):
        return any(self.full(n) in PLATFORM for n in ast.walk(node) if isinstance(n, (ast.Name, ast.Attribute)))

    def full(self, node):
        name = dotted(node)
        if name is None:
            return None
        head, _, rest = name.partition(".")
        head = self.alias.get(head, head)
        return head + "." + rest if rest else head

    # -- conditions

    def value(self, node):
        """The value of node on this interpreter, NONE where it depends on more."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node, ast.Name) and node.id in self.const:
                return self.const[node.id]
            return PLATFORM.get(self.full(node), NONE)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            values = [self.value(e) for e in node.elts]
            return NONE if any(v is NONE or v is MAIN for v in values) else tuple(values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            v = self.value(node.operand)
            return NONE if v is NONE or v is MAIN else not v
        if isinstance(node, ast.BoolOp):
            return self.logic(node)
        try:
            if isinstance(node, ast.Compare):
                return self.compare(node)
            if isinstance(node, ast.Subscript):
                v = self.value(node.value)
                return NONE if v is NONE else v[self.index(node.slice)]
            if isinstance(node, ast.Call):
                return self.call_value(node)
        except (TypeError, IndexError, ValueError, KeyError):
            pass
        return NONE

    def index(self, node):
        if isinstance(node, ast.Slice):
            return slice(*(None if x is None else self.index(x) for x in (node.lower, node.upper, node.step)))
        v = self.value(node)
        if not isinstance(v, int):
            raise ValueError
        return v

    def logic(self, node):
        values = [self.value(v) for v in node.values]
        known = [bool(v) for v in values if v is not NONE and v is not MAIN]
        if isinstance(node.op, ast.Or):
            return True if any(known) else (False if len(known) == len(values) else NONE)
        if not all(known):
            return False
        if MAIN in values:
            return MAIN
        return NONE if NONE in values else True

    def compare(self, node):
        if len(node.ops) != 1:
            return NONE
        left, op, right = node.left, node.ops[0], node.comparators[0]
        if isinstance(op, ast.Eq):
            pair = [n.id if isinstance(n, ast.Name) else getattr(n, "value", None) for n in (left, right)]
            if sorted(map(str, pair)) == ["__main__", "__name__"]:
                return MAIN
        left, right = self.value(left), self.value(right)
        if left is NONE or right is NONE or left is MAIN or right is MAIN:
            return NONE
        for kind, test in ((ast.Eq, lambda: left == right), (ast.NotEq, lambda: left != right),
                           (ast.Lt, lambda: left < right), (ast.LtE, lambda: left <= right),
                           (ast.Gt, lambda: left > right), (ast.GtE, lambda: left >= right),
                           (ast.In, lambda: left in right), (ast.NotIn, lambda: left not in right)):
            if isinstance(op, kind):
                return test()
        return NONE

    def call_value(self, node):
        if self.full(node.func) == "platform.system":
            return "Linux" if sys.platform == "linux" else NONE
        f = node.func
        if isinstance(f, ast.Attribute) and f.attr in ("startswith", "endswith", "lower") and not node.keywords:
            v, args = self.value(f.value), [self.value(a) for a in node.args]
            if isinstance(v, str) and not any(a is NONE or a is MAIN for a in args):
                return getattr(v, f.attr)(*args)
        return NONE

    @staticmethod
    def type_checking(test):
        return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING" or
                isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING" and isinstance(test.value, ast.Name))

    # -- statements

    def block(self, body, ctx, top=False):
        """Looks through statements; true if what follows them is never run."""
        for node in body:
            if self.statement(node, ctx, top):
                return True
        return False

    def statement(self, node, ctx, top):
        if isinstance(node, ast.If):
            return self.condition(node, ctx, top)
        if isinstance(node, ast.Import):
            for a in node.names:
                self.use("import", node, ctx, a.name)
        elif isinstance(node, ast.ImportFrom):
            self.use("from", node, ctx, "." * node.level + (node.module or ""), [a.name for a in node.names])
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.exprs(node.decorator_list + node.args.defaults + [d for d in node.args.kw_defaults if d], ctx)
            self.block(node.body, ctx | IN_FUNCTION)
        elif isinstance(node, ast.ClassDef):
            self.exprs(node.decorator_list + node.bases + [k.value for k in node.keywords], ctx)
            self.block(node.body, ctx)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            self.attempt(node, ctx, top)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            self.exprs([i.context_expr for i in node.items], ctx)
            self.block(node.body, ctx | OPTIONAL if any(map(self.suppresses, node.items)) else ctx, top)
        elif isinstance(node, ast.Expr):
            if not isinstance(node.value, ast.Constant):  # else a docstring or "..."
                self.exprs([node.value], ctx)
                return isinstance(node.value, ast.Call) and self.full(node.value.func) == "sys.exit"
        elif isinstance(node, ast.AnnAssign):
            self.exprs([node.value] if node.value else [], ctx)
        else:
            if top and isinstance(node, (ast.Assign, ast.AugAssign)):
                self.exported(node)
                self.listed(node)
            self.others(node, ctx, top)
            return isinstance(node, (ast.Raise, ast.Return))
        return False

    def others(self, node, ctx, top):
        """Loops, match and simple statements: all that is in them."""
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    self.block([child], ctx, top)
                elif isinstance(child, ast.expr):
                    self.exprs([child], ctx)
                elif type(child).__name__ == "match_case":
                    self.block(child.body, ctx, top)

    def condition(self, node, ctx, top):
        if self.type_checking(node.test):
            return self.block(node.orelse, ctx, top)
        self.exprs([node.test], ctx)
        known = self.value(node.test)
        if known is MAIN:
            self.block(node.body, ctx | MAIN_ONLY, top)
            self.block(node.orelse, ctx, top)
            return False
        if known is not NONE:
            return self.block(node.body if known else node.orelse, ctx, top)
        ends = [self.block(node.body, ctx, top), self.block(node.orelse, ctx, top)]
        return all(ends) and bool(node.orelse)

    def attempt(self, node, ctx, top):
        caught = any(self.catches(h.type) for h in node.handlers)
        inside = ctx | OPTIONAL if caught else ctx
        self.block(node.body, inside, top)
        for h in node.handlers:
            self.block(h.body, inside, top)
        self.block(node.orelse, ctx, top)
        self.block(node.finalbody, ctx, top)

    @staticmethod
    def catches(kind):
        if kind is None:
            return True
        names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
        return any((dotted(n) or "").split(".")[-1] in IMPORT_ERRORS for n in names)

    def suppresses(self, item):
        call = item.context_expr
        return (isinstance(call, ast.Call) and (dotted(call.func) or "").split(".")[-1] == "suppress" and
                any(map(self.catches, call.args)))

    def listed(self, node):
        """Names in a list that a constant of the module is: INSTALLED_APPS = ["app"]."""
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name) or not target.id.isupper():
            return
        lists = [node.value]
        while lists:
            value = lists.pop()
            if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
                lists += [value.left, value.right]
            elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
                for e in value.elts:
                    if isinstance(e, ast.Constant) and isinstance(e.value, str) and e.value.isidentifier():
                        self.use("plugin", e, 0, e.value)

    def exported(self, node):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            for n in ast.walk(node.value):
                if isinstance(n, ast.Constant) and isinstance(n.value, str):
                    self.exports.append(n.value)

    # -- expressions

    def exprs(self, nodes, ctx):
        stack = [(n, ctx) for n in reversed(nodes)]
        while stack:
            node, ctx = stack.pop()
            if isinstance(node, ast.Constant):
                if isinstance(node.value, str):
                    self.string(node)
                continue
            if isinstance(node, (ast.JoinedStr, ast.BinOp)) or (
                    isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"):
                self.pattern(node)
            if isinstance(node, ast.Call):
                self.call(node, ctx)
            if isinstance(node, ast.Lambda):
                ctx |= IN_FUNCTION
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.arg):  # holds an annotation only
                    continue
                if not isinstance(child, (ast.Name, ast.expr_context, ast.operator)):
                    stack.append((child, ctx))

    def string(self, node):
        s = node.value
        if len(s) > 200 or not s:
            return
        if self.all_strings:
            if DOTTED.match(s) or GROUP.match(s):
                self.strings.setdefault(s, node.lineno)
        elif ("." in s or ":" in s) and s[0] != "." and DOTTED.match(s):
            self.strings.setdefault(s, node.lineno)

    def pattern(self, node):
        p = pattern(node)
        if len(p) <= 200 and UNKNOWN in p:
            if PREFIX.match(p) or "groups" in self.flags and p[0] != UNKNOWN and GROUP.match(p.replace(UNKNOWN, "__")):
                self.patterns.setdefault(p, node.lineno)
        elif UNKNOWN not in p and DOTTED.match(p.replace(SELF, "s").replace(PACKAGE, "p")):
            self.patterns.setdefault(p, node.lineno)

    def call(self, node, ctx):
        f = node.func
        name = f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")
        if name in IMPORTERS and node.args:
            named = {k.arg: k.value for k in node.keywords}
            package = named.get("package") or (node.args[1] if len(node.args) > 1 and name != "__import__" else None)
            extra = [pattern(package)] if package is not None else []
            level = named.get("level") or (node.args[4] if len(node.args) > 4 and name == "__import__" else None)
            dots = level.value if isinstance(level, ast.Constant) and level.value in (1, 2, 3) else 0
            self.use("call", node, ctx if name in SURE else ctx | OPTIONAL, "." * dots + pattern(node.args[0]), extra)
        elif name in ("iter_modules", "walk_packages"):
            arg = node.args[0] if node.args else None
            if isinstance(arg, ast.List) and len(arg.elts) == 1:
                arg = arg.elts[0]
            self.use("walk" if name == "walk_packages" else "iter", node, ctx, (self.dotted_of(arg) or ""))
        elif PLUGINS.search(name):
            for arg in node.args[:1] + [k.value for k in node.keywords if k.arg in ("group", "namespace")]:
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str) and GROUP.match(arg.value):
                    self.use("group", node, ctx, arg.value)
        elif name in ("run_path", "spec_from_file_location", "SourceFileLoader") and node.args:
            p = pattern(node.args[0 if name == "run_path" else 1 if len(node.args) > 1 else 0])
            if p.startswith("/") and UNKNOWN not in p:
                self.use("path", node, ctx, p)
        elif name in METADATA and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            if isinstance(node.args[0].value, str):
                self.use("dist", node, ctx, node.args[0].value)
        elif name in RESOURCES and dotted(f):
            self.flags.add("resources")
            if node.args:
                p = pattern(node.args[0])
                if p != UNKNOWN and DOTTED.match(p.replace(SELF, "s").replace(PACKAGE, "p")):
                    self.use("resource", node, ctx | OPTIONAL, p)

    @staticmethod
    def dotted_of(node):
        return dotted(node) if node is not None else None

    def use(self, kind, node, ctx, name, names=None):
        if getattr(node, "is_lazy", 0):
            ctx |= LAZY
        u = {"k": kind, "n": name, "l": node.lineno}
        if ctx:
            u["f"] = ctx
        if names:
            u["x"] = names
        self.uses.append(u)

    def result(self):
        out = {}
        if self.uses:
            out["uses"] = self.uses
        if self.strings:
            out["strings"] = self.strings
        if self.patterns:
            out["patterns"] = self.patterns
        if self.exports:
            out["all"] = self.exports
        if self.flags:
            out["flags"] = sorted(self.flags)
        return out


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".pth"):  # site runs these lines and takes the others as directories
        lines = [line for line in data.splitlines() if line.startswith((b"import ", b"import\t"))]
        return b"\n".join(lines)
    return data


def facts(path):
    try:
        return File(ast.parse(read(path), path)).result()
    except SyntaxError as e:
        return {"error": {"line": e.lineno or 1, "text": str(e.msg)}}
    except (ValueError, RecursionError, MemoryError) as e:
        return {"error": {"line": 1, "text": "%s: %s" % (type(e).__name__, e)}}


def work(paths, name):
    with open(name, "w", encoding="ascii") as f:
        json.dump({p: facts(p) for p in paths}, f)


def main():
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(5000)
    with open(sys.argv[1], encoding="utf-8") as f:
        paths = json.load(f)
    paths.sort(key=lambda p: -os.stat(p).st_size)
    workers = min(2, len(paths) // 8 + 1)
    children = []
    for n in range(1, workers):
        pid = os.fork()
        if pid == 0:
            try:
                work(paths[n::workers], os.path.join(sys.argv[2], "facts-%d.json" % n))
            except BaseException as e:
                sys.stderr.write("%s: %s\n" % (type(e).__name__, e))
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        children.append(pid)
    work(paths[0::workers], os.path.join(sys.argv[2], "facts-0.json"))
    if any([os.waitpid(pid, 0)[1] for pid in children]):
        sys.exit("a worker failed")


main()
