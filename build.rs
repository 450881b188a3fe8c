//! Linker arguments of the minimal build.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=minimal.ld");
    let is = |name: &str, value: &str| var(name).is_ok_and(|it| it == value);
    // Only the profile `minimal` has this optimization level.
    let is_minimal = is("OPT_LEVEL", "z") && var("CARGO_FEATURE_CLI").is_err();
    if !is_minimal || !is("CARGO_CFG_TARGET_OS", "linux") {
        return;
    }
    let folder = var("CARGO_MANIFEST_DIR").expect("Cargo sets it");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/minimal.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    if is("CARGO_CFG_TARGET_ENV", "gnu") {
        // One bit instead of 24 bytes for each relative relocation; glibc 2.36 and later support that.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
