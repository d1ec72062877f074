//! What somebody may have meant by a key that there is not.

/// The key that is like the unknown one that a message names, of those that it names as known.
pub(crate) fn suggestion(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known = known.split('`').skip(1).step_by(2);
    let nearest = known.map(|key| (distance(unknown, key), key)).min()?;
    (nearest.0 <= unknown.len() / 3).then_some(nearest.1)
}

/// How many letters have to be put in, taken out or changed to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_nearly_one_is_named() {
        for (text, meant) in [
            ("[timing]\nkeep_alive_intervall = '1s'", Some("keep_alive_interval")),
            ("asapp = []", Some("asap")),
            ("[limits]\nelement = 1", Some("elements")),
            ("[admin]\ntoken = 'x'", Some("tokens")),
            ("colour = 'red'", None),
        ] {
            let error = toml::from_str::<crate::Config>(text).unwrap_err().to_string();
            assert_eq!(suggestion(&error), meant, "{error}");
        }
        assert_eq!((distance("", "abc"), distance("abc", "ac"), distance("abc", "abc")), (3, 1, 0));
    }
}
