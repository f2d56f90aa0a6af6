//! Stands for the runtime libraries of Windows.

use anyhow::{anyhow, Result};
use std::{fmt, path::PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcRedistributablePlatform {
    X86,
    X64,
    Arm64,
}

impl fmt::Display for VcRedistributablePlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self)
    }
}

pub fn find_visual_cpp_redistributable(
    _: &str,
    _: VcRedistributablePlatform,
) -> Result<Vec<PathBuf>> {
    Err(anyhow!("this PyOxidizer builds for Linux only"))
}
