# What PyOxidizer is to build. Sources are dropped resource by resource: with
# include_*_sources = False no bytecode would be made of them either.

OPTIMIZE = @OPTIMIZE@

def without_source(policy, resource):
    if type(resource) == "PythonModuleSource":
        resource.add_source = False

def make_exe():
    dist = PythonDistribution(sha256 = "@SHA256@", local_path = "@ARCHIVE@", flavor = "standalone")

    policy = dist.make_python_packaging_policy()
    policy.extension_module_filter = "all"
    policy.include_distribution_sources = True
    policy.include_distribution_resources = True
    policy.include_non_distribution_sources = True
    policy.include_test = False
    policy.resources_location = "in-memory"
    policy.resources_location_fallback = "filesystem-relative:lib"
    policy.bytecode_optimize_level_zero = OPTIMIZE == 0
    policy.bytecode_optimize_level_one = OPTIMIZE == 1
    policy.bytecode_optimize_level_two = OPTIMIZE == 2
    policy.register_resource_callback(without_source)

    config = dist.make_python_interpreter_config()
    config.config_profile = "python"
    config.parse_argv = False
    config.allocator_backend = "default"
    config.optimization_level = OPTIMIZE
    config.write_bytecode = False
    config.sys_frozen = True
    config.filesystem_importer = True # of the modules that ask where they lie
    config.module_search_paths = ["$ORIGIN/lib"]
    config.run_command = "from importlib.util import find_spec; exec(find_spec('exuvia_launcher').loader.get_code('exuvia_launcher'))"

    exe = dist.to_python_executable(name = "launcher", packaging_policy = policy, config = config)
    exe.add_python_resources(exe.read_virtualenv("@MEMORY@"))
    return exe

def make_install(exe):
    files = FileManifest()
    files.add_python_resource(".", exe)
    return files

register_target("exe", make_exe)
register_target("install", make_install, depends = ["exe"], default = True)
resolve_targets()
