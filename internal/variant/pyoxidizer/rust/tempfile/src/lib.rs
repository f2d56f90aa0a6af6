//! Temporary directories with names that are the same in every run: they are
//! in what is built there, which is to be the same in every run too.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

#[derive(Default)]
pub struct Builder {
    prefix: String,
}

impl Builder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn prefix(&mut self, prefix: &str) -> &mut Self {
        self.prefix = prefix.to_string();
        self
    }

    pub fn tempdir(&self) -> io::Result<TempDir> {
        self.tempdir_in(env::temp_dir())
    }

    pub fn tempdir_in(&self, base: impl AsRef<Path>) -> io::Result<TempDir> {
        let base = base.as_ref();
        for n in 0.. {
            let path = base.join(format!("{}-{}", self.prefix, n));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(TempDir { path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        unreachable!()
    }
}

/// Is removed when it is dropped.
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn close(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
