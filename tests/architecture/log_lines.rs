//! The lines of the log from `info` up: the texts in the code, and whether a document has them.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, Item, Macro};

use crate::parse::{Source, attributes_of_item, is_for_tests};

/// The texts that `document` does not have. What stands in braces in a text differs from line to line.
pub(crate) fn undocumented(sources: &[Source], document: &str) -> Vec<String> {
    let document = words(document);
    let mut violations = Vec::new();
    for source in sources {
        for text in texts(source) {
            let has = |part: &str| document.contains(&words(part));
            if !fixed_parts(&text).iter().all(|part| has(part)) {
                violations.push(format!("{}: no document has the line \"{text}\"", source.path));
            }
        }
    }
    violations
}

/// The format strings of `log::info!` and above, and of what is passed to a method `warn`.
fn texts(source: &Source) -> Vec<String> {
    let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
    let mut reader = Reader::default();
    if !is_for_tests(&file.attrs) {
        reader.visit_file(&file);
    }
    reader.texts
}

#[derive(Default)]
struct Reader {
    texts: Vec<String>,
    is_in_warn: bool,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes_of_item(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let was_in_warn = self.is_in_warn;
        self.is_in_warn |= call.method == "warn";
        call.args.iter().for_each(|argument: &Expr| self.visit_expr(argument));
        self.is_in_warn = was_in_warn;
        self.visit_expr(&call.receiver);
    }

    fn visit_macro(&mut self, node: &'ast Macro) {
        let path: Vec<String> = node.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let is_log = matches!(&path[..], [log, level] if log == "log" && LEVELS.contains(&&level[..]));
        if is_log || self.is_in_warn && path == ["format_args"] {
            self.texts.extend(first_string(&node.tokens));
        }
    }
}

/// The levels of lines that an operator sees by default.
const LEVELS: [&str; 3] = ["error", "warn", "info"];

fn first_string(tokens: &TokenStream) -> Option<String> {
    tokens
        .clone()
        .into_iter()
        .find_map(|token| match token {
            TokenTree::Literal(literal) => syn::parse_str::<syn::LitStr>(&literal.to_string()).ok(),
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => None,
        })
        .map(|literal| literal.value())
}

/// The parts of a format string between its arguments that are words.
fn fixed_parts(text: &str) -> Vec<&str> {
    text.split(['{', '}'])
        .step_by(2)
        .map(|part| part.trim_matches(|it: char| !it.is_alphanumeric()))
        .filter(|part| part.len() > 2)
        .collect()
}

/// `text` with one space between two words, without the marks of Markdown.
fn words(text: &str) -> String {
    text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_line_of_the_log_that_no_document_has_is_found() {
    let code = r#"
        fn f(n: u32) {
            log::info!("listening at {n}: ready");
            log::debug!("not for operators");
            self.warn(Kind::Full, &format_args!("{n}: the table is full"));
            log::warn!("cannot reopen {}: {n}", 7);
        }
        #[cfg(test)]
        mod tests { fn g() { log::warn!("only in tests"); } }
    "#;
    let sources = [Source { path: "a.rs".into(), text: code.into() }];
    assert_eq!(
        undocumented(&sources, "`listening at N: ready`, the table\nis full, cannot reopen F"),
        [""; 0]
    );
    let violations = undocumented(&sources, "listening at");
    assert_eq!(violations.len(), 3, "{violations:?}");
    assert!(violations[1].ends_with("the line \"{n}: the table is full\""), "{violations:?}");
}
