//! Stands for code signing, which no Linux has.

use std::path::PathBuf;

pub enum SigningDestination {
    File(PathBuf),
}
