//! Each check on a small crate that violates it, and on one that almost does.

use crate::checks::{self, Facility};
use crate::parse::Source;
use crate::tree::Tree;

/// A crate of these files; `lib.rs` is the first.
fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(&["lib.rs"], "sample", &sources(files))
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
}

/// What `upper.rs` and `lower.rs` violate where `lower` is the layer below.
fn layers(lower: &str) -> Vec<String> {
    let upper = "pub struct Thing; pub mod inner { pub struct Other; } pub fn call() {}";
    let lib = ("lib.rs", "mod lower; mod upper; pub use upper::Thing as Renamed;");
    let tree = tree(&[lib, ("lower.rs", lower), ("upper.rs", upper)]);
    checks::layers(&tree, &[&["lower"], &["upper"], &["lib"]])
}

#[track_caller]
fn assert_imports_upper(lower: &str) {
    assert_eq!(layers(lower), ["lower.rs imports upper.rs, which is above it"], "{lower}");
}

#[track_caller]
fn assert_imports_nothing(lower: &str) {
    assert_eq!(layers(lower), [""; 0], "{lower}");
}

#[test]
fn an_import_of_an_upper_layer_is_found_in_any_form() {
    assert_imports_upper("use crate::upper::Thing;");
    assert_imports_upper("use super::upper::Thing;");
    assert_imports_upper("use self::super::upper::Thing;");
    assert_imports_upper("use sample::upper::Thing;");
    assert_imports_upper("use crate::{lower, upper::Thing};");
    assert_imports_upper("use crate::{upper::{self, inner::{Other as _}}};");
    assert_imports_upper("use crate::upper::inner::*; fn f(_: Other) {}");
    assert_imports_upper("pub use crate::upper::Thing;");
    assert_imports_upper("mod block { use super::super::upper::Thing; }");
    assert_imports_upper("fn f() { use crate::upper::Thing; }");
}

#[test]
fn a_path_in_the_code_is_an_import() {
    assert_imports_upper("fn f() { crate::upper::call(); }");
    assert_imports_upper("fn f() -> crate::upper::Thing { panic!() }");
    assert_imports_upper("struct S(Vec<crate::upper::Thing>);");
    assert_imports_upper("impl crate::lower::Trait for crate::upper::Thing {}");
    assert_imports_upper("use crate::upper; fn f() { upper::call(); }");
    assert_imports_upper("use crate::upper as u; fn f() { u::inner::Other; }");
    assert_imports_upper("fn f() { println!(\"{}\", crate::upper::call()); }");
    assert_imports_upper("fn f() { vec![vec![(1, crate::upper::Thing)]]; }");
    assert_imports_upper("#[derive(crate::upper::Thing)] struct S;");
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    assert_imports_upper("use crate::Renamed;");
    assert_imports_upper("fn f(_: crate::Renamed) {}");
    let violations = layers("use crate::*; fn f(_: Renamed) {}");
    let of = |file| format!("lower.rs imports {file}, which is above it");
    assert_eq!(violations, [of("lib.rs"), of("upper.rs")]);
}

#[test]
fn a_test_module_at_the_top_does_not_hide_the_rest() {
    assert_imports_upper("#[cfg(test)] mod tests { use super::*; } use crate::upper::Thing;");
    assert_imports_upper("#[cfg(test)]\nmod tests;\nfn f() { crate::upper::call(); }");
}

#[test]
fn the_code_of_tests_may_import_anything() {
    assert_imports_nothing("#[cfg(test)] mod tests { use crate::upper::Thing; }");
    assert_imports_nothing("#[cfg(test)] use crate::upper::Thing;");
    assert_imports_nothing("#[cfg(all(test, unix))] fn f() { crate::upper::call(); }");
    assert_imports_nothing("struct S; impl S { #[cfg(test)] fn f() { crate::upper::call(); } }");
    assert_imports_nothing("#![cfg(test)] use crate::upper::Thing;");
}

#[test]
fn code_that_is_not_only_for_tests_is_code() {
    assert_imports_upper("#[cfg(not(test))] use crate::upper::Thing;");
    assert_imports_upper("#[cfg(any(test, unix))] use crate::upper::Thing;");
    assert_imports_upper("#[cfg(all(unix, not(test)))] use crate::upper::Thing;");
    assert_imports_upper("#[cfg_attr(test, allow(unused))] use crate::upper::Thing;");
}

#[test]
fn comments_strings_and_visibilities_import_nothing() {
    assert_imports_nothing("//! crate::upper::Thing\n/// [`crate::upper::Thing`]\nfn f() {}");
    assert_imports_nothing("const TEXT: &str = \"use crate::upper::Thing;\";");
    assert_imports_nothing("mod block { pub(in crate::lower) struct S; }");
    assert_imports_nothing("fn f() { let upper = 1; g(upper); } fn g(_: u8) {}");
}

#[test]
fn an_order_within_a_layer_is_kept() {
    let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")];
    let violations = checks::layers(&tree(&files), &[&["a", "b", "lib"]]);
    assert_eq!(violations, ["a.rs imports b.rs, which is above it"]);
}

#[test]
fn a_module_may_be_in_another_layer_than_the_folder_it_is_in() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "pub mod low; pub struct A;"),
        ("a/low.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
    ];
    let violations = checks::layers(&tree(&files), &[&["a/low"], &["b"], &["a"], &["lib"]]);
    assert_eq!(
        violations,
        ["a/low.rs imports b.rs, which is above it", "b.rs imports a/mod.rs, which is above it"]
    );
}

#[test]
fn each_file_is_in_a_layer_and_each_entry_of_a_layer_is_a_file() {
    let tree = tree(&[("lib.rs", "mod a;"), ("a.rs", "")]);
    let violations = checks::layers(&tree, &[&["gone"], &["lib"]]);
    assert_eq!(violations, ["a.rs is in no layer", "a layer names gone, which does not exist"]);
}

#[test]
fn two_files_that_import_each_other_are_a_cycle() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; mod c;"),
        ("a/b.rs", "use super::c::C; pub struct B;"),
        ("a/c.rs", "fn f() { super::b::B; } pub struct C;"),
    ];
    assert_eq!(checks::cycles(&tree(&files), &[]), ["a cycle of imports: a/b.rs -> a/c.rs -> a/b.rs"]);
}

#[test]
fn a_cycle_through_a_third_file_and_a_re_export_is_found() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; pub use c::C;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
    ];
    let violations = checks::cycles(&tree(&files), &[]);
    assert_eq!(violations, ["a cycle of imports: a.rs -> b.rs -> c.rs -> a.rs"]);
}

/// A parent, whose child imports from it.
fn parent_and_child(parent: &'static str) -> Tree {
    let child = "use super::Parent; pub struct Child; impl Parent { fn more(&self) {} }";
    tree(&[("lib.rs", "mod a;"), ("a.rs", parent), ("a/child.rs", child)])
}

#[test]
fn a_parent_that_only_declares_and_re_exports_its_child_is_no_cycle() {
    let tree = parent_and_child("mod child; pub use child::Child; pub struct Parent;");
    assert_eq!(checks::cycles(&tree, &[]), [""; 0]);
}

#[test]
fn a_parent_that_uses_its_child_is_a_cycle() {
    for parent in [
        "mod child; use child::Child; pub struct Parent(Child);",
        "mod child; pub use child::Child; pub struct Parent(Child);",
        "mod child; pub struct Parent; fn f() { child::Child; }",
    ] {
        let violations = checks::cycles(&parent_and_child(parent), &[]);
        assert_eq!(violations, ["a cycle of imports: a.rs -> a/child.rs -> a.rs"], "{parent}");
    }
}

#[test]
fn the_files_of_a_unit_count_as_one() {
    let tree = parent_and_child("mod child; use child::Child; pub struct Parent(Child);");
    let units: &[checks::Unit] = &[&["a.rs", "a/child.rs"]];
    assert_eq!(checks::cycles(&tree, units), [""; 0]);
    assert_eq!(checks::units(&tree, units), [""; 0]);
}

#[test]
fn a_file_that_adds_no_method_is_not_of_the_unit() {
    let child = "use super::Parent; pub struct Child; impl Child { fn f(_: Parent) {} }";
    let tree =
        tree(&[("lib.rs", "mod a;"), ("a.rs", "mod child; pub struct Parent;"), ("a/child.rs", child)]);
    let violations = checks::units(&tree, &[&["a.rs", "a/child.rs"]]);
    assert_eq!(violations, ["a/child.rs adds no method to a type of a.rs"]);
}

/// What a file that may not use `mio` and clocks violates with this text.
fn facilities(text: &str) -> Vec<String> {
    const FACILITIES: &[Facility] =
        &[Facility { paths: &["mio", "std::time::Instant"], users: &["net/kernel"] }];
    let lib = "mod other; mod net { pub mod kernel; } pub use std::time::Instant as Clock;";
    let tree = tree(&[("lib.rs", lib), ("net/kernel.rs", "use mio::Poll;"), ("other.rs", text)]);
    let mut violations = checks::facilities(&tree, FACILITIES);
    assert_eq!(violations.remove(0), "lib.rs uses std::time::Instant");
    violations
}

#[test]
fn a_facility_is_found_in_any_form() {
    let poll = ["other.rs uses mio::Poll"];
    assert_eq!(facilities("use mio::Poll;"), poll);
    assert_eq!(facilities("fn f(_: mio::Poll) {}"), poll);
    assert_eq!(facilities("fn f(_: ::mio::Poll) {}"), poll);
    assert_eq!(facilities("use {mio::{Poll as P}};"), poll);
    assert_eq!(facilities("fn f() { dbg!(mio::Poll); }"), poll);
    assert_eq!(facilities("use mio as m; fn f(_: m::Poll) {}"), ["other.rs uses mio", poll[0]]);
    assert_eq!(facilities("extern crate mio as m; fn f(_: m::Poll) {}"), ["other.rs uses mio", poll[0]]);
    assert_eq!(facilities("use mio::*;"), ["other.rs uses mio::*"]);
    assert_eq!(facilities("fn f(mio: u8) -> u8 { dbg!(mio) + mio }"), [""; 0]);
}

#[test]
fn a_part_of_a_crate_is_a_facility() {
    let clock = ["other.rs uses std::time::Instant"];
    assert_eq!(facilities("use std::time::{Duration, Instant};"), clock);
    assert_eq!(facilities("use crate::Clock;"), clock);
    assert_eq!(facilities("use std::time; fn f(_: time::Instant) {}"), clock);
    assert_eq!(facilities("use std::time::*;"), ["other.rs uses std::time::*"]);
    assert_eq!(facilities("use std::time::Duration; use miow::Other; struct Instant;"), [""; 0]);
}

#[test]
fn a_user_of_a_facility_that_does_not_use_it_is_found() {
    let tree = tree(&[("lib.rs", "mod net;"), ("net.rs", "use mion::Poll;")]);
    let violations = checks::facilities(&tree, &[Facility { paths: &["mio"], users: &["net", "gone"] }]);
    assert_eq!(violations, ["gone may use mio, but does not", "net may use mio, but does not"]);
}

#[test]
fn a_file_that_is_not_declared_is_found() {
    let lib = "mod a; #[cfg(test)] mod fixtures;";
    let files =
        [("lib.rs", lib), ("a.rs", ""), ("fixtures.rs", "mod more;"), ("fixtures/more.rs", ""), ("b.rs", "")];
    assert_eq!(checks::unreached(&tree(&files)), ["no `mod` declares b.rs"]);
}

#[test]
fn unsafe_code_is_found_and_the_word_is_not() {
    let violations = checks::unsafe_code(&sources(&[
        ("block.rs", "fn f() { unsafe { g() } }"),
        ("function.rs", "unsafe fn f() {}"),
        ("macro.rs", "macro_rules! m { () => { unsafe { g() } } }"),
        ("test.rs", "#[cfg(test)] mod tests { unsafe impl Send for S {} }"),
        ("word.rs", "#![forbid(unsafe_code)] // unsafe {\nconst TEXT: &str = \"unsafe\";"),
    ]));
    let unsafe_ones = ["block", "function", "macro", "test"];
    assert_eq!(violations, unsafe_ones.map(|name| format!("{name}.rs has unsafe code")));
}

#[test]
fn a_file_that_does_not_begin_with_what_it_is_is_found() {
    let violations = checks::first_line(&sources(&[
        ("good.rs", "//! Good.\n#![allow(unused)]"),
        ("attribute.rs", "#![allow(unused)]\n//! Late."),
        ("comment.rs", "// No doc."),
        ("empty.rs", "//!\n//! Nothing on the first line."),
        ("nothing.rs", ""),
    ]));
    let bad = ["attribute", "comment", "empty", "nothing"];
    assert_eq!(violations, bad.map(|name| format!("{name}.rs does not begin with `//! `")));
}

#[test]
fn a_long_file_is_found() {
    let violations = checks::length(&sources(&[("short.rs", "1\n2\n"), ("long.rs", "1\n2\n3\n")]), 2);
    assert_eq!(violations, ["long.rs has 3 lines, more than 2"]);
}

#[test]
fn a_crowded_folder_is_found() {
    let files = sources(&[("a.rs", ""), ("a/b.rs", ""), ("a/c.rs", ""), ("b/mod.rs", "")]);
    assert_eq!(checks::entries(&files, 3), [""; 0]);
    assert_eq!(checks::entries(&files, 2), ["3 entries, more than 2: {\"a\", \"a.rs\", \"b\"}"]);
}

#[test]
fn a_map_that_leaves_a_file_out_or_names_a_lost_one_is_found() {
    let files = sources(&[("a.rs", ""), ("b/mod.rs", "")]);
    let violations = checks::map("| `a.rs` | `lost.rs` | `a::b` | `tests/x.rs` | mod.rs |", &files, |name| {
        name == "tests/x.rs"
    });
    assert_eq!(
        violations,
        ["ARCHITECTURE.md does not name `b/mod.rs`", "ARCHITECTURE.md names `lost.rs`, which does not exist"]
    );
}
