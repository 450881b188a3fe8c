//! HTML from its pieces: text that is escaped, and elements that end where they should.

/// Any text, as it is written between tags and in attributes.
#[must_use]
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML cannot hold control characters, not even escaped.
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An element around `content`, which is HTML already. `start` is its name, and its attributes if it has any:
/// `td class="number"`.
#[must_use]
pub(crate) fn element(start: &str, content: &str) -> String {
    let name = start.split(' ').next().unwrap_or(start);
    format!("<{start}>{content}</{name}>")
}

/// An element around text.
#[must_use]
pub(crate) fn of_text(start: &str, content: &str) -> String {
    element(start, &text(content))
}

/// What is wrong with the tags of `html`: the first that ends another than began last, or never ends.
#[cfg(test)]
pub(crate) fn unbalanced(html: &str) -> Option<String> {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let (inside, _) = tag.split_once('>')?;
        let name = inside.split([' ', '\n']).next()?;
        if let Some(ended) = name.strip_prefix('/') {
            if open.pop() != Some(ended) {
                return Some(format!("</{ended}>"));
            }
        } else if !inside.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
    }
    open.pop().map(|name| format!("<{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_a_tag_or_leave_an_attribute() {
        assert_eq!(text("<b> & \"'"), "&lt;b&gt; &amp; &quot;&#39;");
        assert_eq!(text("a\0b\u{1b}\n"), "a\u{fffd}b\u{fffd}\n");
    }

    #[test]
    fn an_element_ends_as_it_began() {
        assert_eq!(element("td class=\"number\"", "<b>1</b>"), "<td class=\"number\"><b>1</b></td>");
        assert_eq!(of_text("p", "1 < 2"), "<p>1 &lt; 2</p>");
    }

    #[test]
    fn tags_that_do_not_match_are_found() {
        assert_eq!(unbalanced("<!doctype html><p><meta a=\"b\"><b>x</b><line/></p>"), None);
        assert_eq!(unbalanced("<p><b></p>").as_deref(), Some("</p>"));
        assert_eq!(unbalanced("<p>").as_deref(), Some("<p>"));
    }
}
