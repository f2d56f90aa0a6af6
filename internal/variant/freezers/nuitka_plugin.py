"""Tells Nuitka what there is to compile, and what else the app needs."""
import json
import os
import sys

from nuitka.containers.OrderedSets import OrderedSet
from nuitka.plugins.PluginBase import NuitkaPluginBase

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, HERE)

import compiling

with open(HERE + "/freeze.json", encoding="utf-8") as f:
    want = json.load(f)
settings = compiling.read()
started = {"__main__", "__parents_main__", "exuvia_main"} | set(want["scripts"])


class Exuvia(NuitkaPluginBase):
    plugin_name = "exuvia"
    plugin_desc = "Compile what exuvia says, and include what its analysis found."

    def decideCompilation(self, module_name):
        name = module_name.asString()
        if name in started or name in settings["sources"] or name.endswith(("-preLoad", "-postLoad")):
            return "compiled"
        # Nuitka would optimise a module to learn what it imports, which the
        # analysis knows. It does not where its cache knows that.
        building = sys.modules["nuitka.tree.Building"]
        building.hasCachedImportedModuleUsageAttempts = lambda **_: True
        building.getCachedImportedModuleUsageAttempts = lambda **_: (OrderedSet(), [])
        return "bytecode"

    def onModuleSourceCode(self, module_name, source_filename, source_code):
        if module_name.asString() in settings["mains"]:
            return compiling.as_main(source_code)
        return source_code

    def getImplicitImports(self, module):
        if module.getFullName().asString() == "exuvia_main":
            yield from want["modules"]
            yield from sorted(want["scripts"])

    def considerDataFiles(self, module):
        if module.getFullName().asString() == "exuvia_main":
            for source, name in want["files"]:
                yield self.makeIncludedDataFile(source, name, "exuvia's analysis found it")
