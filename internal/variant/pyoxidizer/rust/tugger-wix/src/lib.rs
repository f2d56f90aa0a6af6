//! Stands for installers of Windows.

pub fn target_triple_to_wix_arch(_: &str) -> Option<&'static str> {
    None
}
