//! What went wrong, as JSON (RFC 9457).

use hyper::StatusCode;
use serde_json::json;

use crate::response::{Response, whole};

/// One kind of problem: its name in `urn:rserpool:problem:NAME`, its status, and what it is in
/// general.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kind {
    /// The last part of its URN.
    pub name: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
}

/// Defines the kinds and the list of them.
macro_rules! kinds {
    ($($(#[$doc:meta])* $konst:ident = $name:literal, $status:literal, $title:literal;)*) => {
        impl Kind {
            $($(#[$doc])* pub const $konst: Self =
                Self { name: $name, status: $status, title: $title };)*

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$konst),*];
        }
    };
}

kinds! {
    /// A parameter that is unknown, or whose value makes no sense.
    BAD_QUERY = "bad-query", 400, "The request makes no sense";
    /// Who asks has not said who that is, or not so that it can be believed.
    UNAUTHENTICATED = "unauthenticated", 401, "A token is needed";
    /// Who asks may not do that.
    FORBIDDEN = "forbidden", 403, "Not allowed";
    /// There is nothing at this path.
    UNKNOWN_PATH = "unknown-path", 404, "Nothing is at this path";
    /// There is no such pool.
    UNKNOWN_POOL = "unknown-pool", 404, "There is no such pool";
    /// There is no such element.
    UNKNOWN_ELEMENT = "unknown-element", 404, "There is no such element";
    /// That cannot be done with what is at this path.
    METHOD = "method", 405, "This cannot be done with it";
    /// The body did not come in time.
    TOO_SLOW = "too-slow", 408, "The request took too long to come";
    /// Nobody of a pool would be left to users.
    LAST_ELEMENT = "last-element", 409, "No other element of the pool would be listed";
    /// What was to be changed makes no sense, and nothing has changed.
    NOT_CHANGED = "not-changed", 409, "Nothing has changed";
    /// The body is longer than is taken.
    TOO_LONG = "too-long", 413, "The request is too long";
    /// The body is not of a kind that is taken.
    MEDIA = "media", 415, "The body is not JSON";
    /// The name that was asked for is none of this server's.
    BAD_HOST = "bad-host", 421, "This server has another name";
    /// There are too many connections or streams.
    TOO_MANY = "too-many", 429, "There are too many connections or streams";
    /// The program did not answer in time.
    BUSY = "busy", 503, "The program did not answer in time";
    /// The program does not serve.
    NOT_SERVING = "not-serving", 503, "The program does not serve";
}

/// One problem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What kind of problem it is.
    pub kind: Kind,
    /// What it is here, for people.
    pub detail: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// The answer; `instance` is the number of the request.
    pub fn response(&self, instance: u64) -> Response {
        let Kind { name, status, title } = self.kind;
        let body = json!({
            "type": format!("urn:rserpool:problem:{name}"),
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": format!("req-{instance}"),
        });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = whole(status, "application/problem+json", body.to_string());
        let headers = response.headers_mut();
        if matches!(status.as_u16(), 429 | 503) {
            headers.insert("retry-after", hyper::header::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert("www-authenticate", hyper::header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self::new(kind, kind.title)
    }
}
