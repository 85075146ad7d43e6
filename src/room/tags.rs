//! Chat lines without markup.

/// `text` without `<…>`, as the original's `/(<([^>]+)>)/ig` leaves it.
pub(super) fn without_tags(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let Some(length) = rest[open..].find('>') else {
            break;
        };
        let end = open + length + 1;
        // "<>" holds nothing and stays.
        kept.push_str(&rest[..if length == 1 { end } else { open }]);
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tags_go() {
        for (text, kept) in [
            ("a<>b", "a<>b"),
            ("<<b>>", ">"),
            ("ü<é>ü", "üü"),
            ("<\n>", ""),
            ("<", "<"),
        ] {
            assert_eq!(without_tags(text), kept);
        }
    }
}
