//! As much XML as EC2's answers need: the text of elements whose names are unique where they are looked for.

/// The text of the first element of that name.
pub(crate) fn text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    all(xml, name).next()
}

/// The content of every element of that name that does not hold itself.
pub(crate) fn all<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let begin = rest.find(&open)? + open.len();
        let length = rest[begin..].find(&close)?;
        let found = &rest[begin..begin + length];
        rest = &rest[begin + length..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_name() {
        let xml = "<a><id>1</id><b>x</b></a><a><id>2</id></a>";
        assert_eq!(all(xml, "id").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((text(xml, "b"), text(xml, "c")), (Some("x"), None));
    }
}
