//! Builds what a pyoxidizer.bzl says, as `pyoxidizer build --release` does.
//!
//!     pyoxidizer DIRECTORY

use pyoxidizerlib::{environment::Environment, projectmgmt};
use std::{collections::HashMap, path::Path, process::exit};

/// Writes what PyOxidizer says to stdout.
struct Stdout;

impl log::Log for Stdout {
    fn enabled(&self, m: &log::Metadata) -> bool {
        m.level() <= log::Level::Warn
    }

    fn log(&self, r: &log::Record) {
        if self.enabled(r.metadata()) {
            println!("{}", r.args());
        }
    }

    fn flush(&self) {}
}

fn main() {
    log::set_logger(&Stdout).expect("no other logger was set");
    log::set_max_level(log::LevelFilter::Warn);
    let directory = std::env::args().nth(1).expect("a directory is named");
    let built = Environment::new().and_then(|mut env| {
        env.unmanage_rust()?;
        let path = Path::new(&directory);
        projectmgmt::build(&env, path, None, None, HashMap::new(), true, false)
    });
    if let Err(e) = built {
        println!("error: {:?}", e);
        exit(1);
    }
}
