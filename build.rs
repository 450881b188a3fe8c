//! Tells the linker what the minimal build does without.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=minimal.ld");
    let is = |name: &str, value: &str| var(name).is_ok_and(|it| it == value);
    // No other profile is optimised for size to this degree.
    let is_minimal = is("OPT_LEVEL", "z") && var("CARGO_FEATURE_CLI").is_err();
    if !is_minimal || !is("CARGO_CFG_TARGET_OS", "linux") {
        return;
    }
    let folder = var("CARGO_MANIFEST_DIR").expect("Cargo says where the package is");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/minimal.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    if is("CARGO_CFG_TARGET_ENV", "gnu") {
        // A bit for each address that the loader adjusts, instead of 24 bytes; glibc 2.36 and later read them.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
