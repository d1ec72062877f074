//! Events as they happen, as browsers read them (`text/event-stream`).

use hyper::body::Bytes;

/// The type of such an answer.
pub const MEDIA: &str = "text/event-stream";

/// One event. `data` is one line, as JSON is; `id` and `kind` have no line ends.
pub fn event(id: &str, kind: &str, data: &str) -> Bytes {
    debug_assert!(![id, kind, data].iter().any(|text| text.contains(['\n', '\r'])));
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n").into()
}

/// What says that the connection lives.
pub fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}
