//! HTML elements and escaped text.

/// Escapes text for content and attributes.
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
            // HTML does not allow control characters, even escaped.
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An element with `content`, which is HTML. `start` is the name, and attributes if there are any:
/// `td class="number"`.
#[must_use]
pub(crate) fn element(start: &str, content: &str) -> String {
    let name = start.split(' ').next().unwrap_or(start);
    format!("<{start}>{content}</{name}>")
}

/// An element with text, which is escaped.
#[must_use]
pub(crate) fn of_text(start: &str, content: &str) -> String {
    element(start, &text(content))
}

/// The first tag of `html` that closes another element than the last opened, or is never closed.
#[cfg(test)]
pub(crate) fn mismatched_tag(html: &str) -> Option<String> {
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
    fn text_is_escaped() {
        assert_eq!(text("<b> & \"'"), "&lt;b&gt; &amp; &quot;&#39;");
        assert_eq!(text("a\0b\u{1b}\n"), "a\u{fffd}b\u{fffd}\n");
    }

    #[test]
    fn an_element_is_closed_by_its_name() {
        assert_eq!(element("td class=\"number\"", "<b>1</b>"), "<td class=\"number\"><b>1</b></td>");
        assert_eq!(of_text("p", "1 < 2"), "<p>1 &lt; 2</p>");
    }

    #[test]
    fn mismatched_tags_are_found() {
        assert_eq!(mismatched_tag("<!doctype html><p><meta a=\"b\"><b>x</b><line/></p>"), None);
        assert_eq!(mismatched_tag("<p><b></p>").as_deref(), Some("</p>"));
        assert_eq!(mismatched_tag("<p>").as_deref(), Some("<p>"));
    }
}
