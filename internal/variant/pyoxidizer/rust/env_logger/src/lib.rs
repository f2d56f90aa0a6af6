//! Nothing: only the command line of PyOxidizer, which is not built, uses it.
