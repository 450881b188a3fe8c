//! From the text of a file to what it defines, imports and names, without the code of tests.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of `syn` are open, and most arms do not matter"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, UseTree, Visibility};

/// A file, by its path in its source folder.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A path as it is written: `crate::net::Net` is `["crate", "net", "Net"]`.
/// That of a glob import ends in `*`, which is also the import's name.
pub(crate) type Segments = Vec<String>;

pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Segments,
    /// `pub use`: the name is there for other modules.
    pub(crate) is_reexport: bool,
}

/// A module: a file, or a `mod` block in it.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) imports: Vec<Import>,
    /// Names that are defined here.
    pub(crate) items: BTreeSet<String>,
    /// Paths in the code, but for `use`.
    pub(crate) paths: Vec<Segments>,
    /// The types that `impl` blocks here add to.
    pub(crate) extended: Vec<Segments>,
    /// `mod name { … }`
    pub(crate) blocks: BTreeMap<String, Module>,
    /// `mod name;`
    pub(crate) files: BTreeSet<String>,
    /// `#[cfg(test)] mod name;`
    pub(crate) test_files: BTreeSet<String>,
}

pub(crate) fn parse(source: &Source) -> Module {
    let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
    let mut module = Module::default();
    if !is_for_tests(&file.attrs) {
        Reader { module: &mut module }.visit_file(&file);
    }
    module
}

/// All identifiers of a text, tests included, comments and strings not.
pub(crate) fn identifiers(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    paths_of_tokens(text.parse().unwrap(), &mut paths);
    paths.into_iter().flatten().collect()
}

struct Reader<'module> {
    module: &'module mut Module,
}

impl Reader<'_> {
    fn import(&mut self, before: &mut Segments, tree: &UseTree, is_reexport: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(before, &path.tree, is_reexport);
                before.pop();
            }
            UseTree::Name(name) => self.import_as(before, &name.ident, None, is_reexport),
            UseTree::Rename(rename) => {
                self.import_as(before, &rename.ident, Some(&rename.rename), is_reexport);
            }
            UseTree::Glob(_) => {
                let path = before.iter().cloned().chain(["*".to_owned()]).collect();
                self.module.imports.push(Import { name: "*".to_owned(), path, is_reexport });
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(before, tree, is_reexport));
            }
        }
    }

    fn import_as(&mut self, before: &[String], last: &Ident, name: Option<&Ident>, is_reexport: bool) {
        let mut path = before.to_vec();
        if last != "self" {
            path.push(last.to_string());
        }
        let name = name.map_or_else(|| path.last().cloned().unwrap_or_default(), Ident::to_string);
        self.module.imports.push(Import { name, path, is_reexport });
    }

    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            _ => return,
        };
        self.module.items.insert(name.to_string());
    }

    fn tokens(&mut self, tokens: TokenStream) {
        paths_of_tokens(tokens, &mut self.module.paths);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes_of_item(item)) {
            if let Item::Mod(module) = item {
                self.module.test_files.insert(module.ident.to_string());
            }
            return;
        }
        self.define(item);
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_for_tests(attributes_of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.import(&mut Vec::new(), &item.tree, is_reexport);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.import_as(&[], &item.ident, item.rename.as_ref().map(|(_, name)| name), false);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        assert!(
            !item.attrs.iter().any(|attribute| attribute.path().is_ident("path")),
            "{name} has a #[path]"
        );
        let Some((_, items)) = &item.content else {
            self.module.files.insert(name);
            return;
        };
        let mut block = Module::default();
        let mut reader = Reader { module: &mut block };
        items.iter().for_each(|item| reader.visit_item(item));
        self.module.blocks.insert(name, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let syn::Type::Path(path) = &*item.self_ty {
            self.module.extended.push(segments(&path.path));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.module.paths.push(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.visit_path(&node.path);
        self.tokens(node.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in crate::net)` names a module, but imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn segments(path: &syn::Path) -> Segments {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The paths in the body of a macro, which need not be Rust: identifiers with `::` between them.
fn paths_of_tokens(tokens: TokenStream, paths: &mut Vec<Segments>) {
    let mut path: Segments = Vec::new();
    let mut colons = 0;
    let mut is_member = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons < 2 {
                    paths.extend((!path.is_empty()).then(|| mem::take(&mut path)));
                }
                if !is_member {
                    path.push(name.to_string());
                }
                (colons, is_member) = (0, false);
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            other => {
                paths.extend((!path.is_empty()).then(|| mem::take(&mut path)));
                colons = 0;
                is_member = matches!(&other, TokenTree::Punct(mark) if mark.as_char() == '.');
                if let TokenTree::Group(group) = other {
                    paths_of_tokens(group.stream(), paths);
                }
            }
        }
    }
    paths.extend((!path.is_empty()).then_some(path));
}

/// Whether a `#[cfg(…)]` among them is true in tests only.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    let in_tests = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|meta| implies_test(&meta))
    };
    attributes.iter().any(in_tests)
}

fn implies_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
        Meta::List(list) => {
            let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
            let inner = list.parse_args_with(parser).unwrap_or_default();
            (list.path.is_ident("all") && inner.iter().any(implies_test))
                || (list.path.is_ident("any") && !inner.is_empty() && inner.iter().all(implies_test))
        }
    }
}

pub(crate) fn attributes_of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn attributes_of_impl_item(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}
