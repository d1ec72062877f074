//! The parameters of a request.

use std::str::FromStr;

use percent_encoding::percent_decode;

use crate::problem::{Kind, Problem};

/// The parameters of a request. Each that is understood is taken out; what is left is an error.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, Vec<u8>)>);

/// The octets of a part of a URL.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    percent_decode(text.as_bytes()).collect()
}

impl Query {
    /// The part of a URL behind the question mark.
    pub fn of(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.into(), decoded(&value.replace('+', " ")))
        });
        Self(pairs.collect())
    }

    /// Takes a parameter; the octets of its value.
    ///
    /// # Errors
    ///
    /// Where it is given twice.
    pub fn octets(&mut self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let mut found = self.0.extract_if(.., |(it, _)| it == name).map(|(_, value)| value);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Problem::new(Kind::BAD_QUERY, format!("`{name}` is given twice"))),
            None => Ok(first),
        }
    }

    /// Takes a parameter; its value as text.
    ///
    /// # Errors
    ///
    /// Where it is given twice, or no UTF-8.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let wrong = |_| Problem::new(Kind::BAD_QUERY, format!("`{name}` is no UTF-8"));
        self.octets(name)?.map(|value| String::from_utf8(value).map_err(wrong)).transpose()
    }

    /// Takes a parameter; its value as what it should be.
    ///
    /// # Errors
    ///
    /// Where it is given twice, or something else.
    pub fn value<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = |_| {
            let detail = format!("`{name}` is `{}`, which is not {what}", text.escape_debug());
            Problem::new(Kind::BAD_QUERY, detail)
        };
        text.parse().map(Some).map_err(wrong)
    }

    /// Says that there are no more.
    ///
    /// # Errors
    ///
    /// Where there is one that was not taken.
    pub fn finish(self, known: &[&str]) -> Result<(), Problem> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        let known = match known {
            [] => "it takes none".into(),
            known => format!("it takes {}", known.join(", ")),
        };
        let detail = format!("there is no parameter `{}` here; {known}", name.escape_debug());
        Err(Problem::new(Kind::BAD_QUERY, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_an_error() {
        let mut query = Query::of("limit=5&prefix=a%00+b&own=");
        assert_eq!(query.value::<usize>("limit", "a number").unwrap(), Some(5));
        assert_eq!(query.octets("prefix").unwrap().unwrap(), b"a\0 b");
        assert_eq!(query.text("absent").unwrap(), None);
        let problem = query.finish(&["limit", "prefix"]).unwrap_err();
        assert_eq!(problem.detail, "there is no parameter `own` here; it takes limit, prefix");
        Query::of("").finish(&[]).unwrap();
    }

    #[test]
    fn values_that_make_no_sense_are_said() {
        let problem = |text: &str| Query::of(text).value::<u8>("n", "0 to 255").unwrap_err().detail;
        assert_eq!(problem("n=300"), "`n` is `300`, which is not 0 to 255");
        assert_eq!(problem("n=%ff"), "`n` is no UTF-8");
        assert_eq!(problem("n=1&n=2"), "`n` is given twice");
        assert_eq!(problem("n=%0a"), "`n` is `\\n`, which is not 0 to 255");
    }
}
