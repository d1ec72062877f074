//! Answers, whole or as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{StatusCode, header};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// An answer.
pub type Response = hyper::Response<Body>;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Parts { parts: mpsc::Receiver<Bytes>, _permit: OwnedSemaphorePermit },
}

/// Parts that wait for a slow reader at most; who makes them waits then.
const PARTS_MAX: usize = 4;

/// What is written where nothing else says how to keep it: answers are of this moment and for
/// nobody else, and no browser is to take them for a page.
const HEADERS: [(header::HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

fn with(status: StatusCode, media: &'static str, source: Source) -> Response {
    let mut response = Response::new(Body(source));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer that is there.
pub fn whole(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response {
    with(status, media, Source::Whole(body.into()))
}

/// A file of a page, and what browsers let the page do.
pub fn page(media: &'static str, text: &'static str, policy: &'static str) -> Response {
    let mut response = whole(StatusCode::OK, media, text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// An answer in JSON.
pub fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).unwrap_or_else(|error| error.to_string().into());
    whole(StatusCode::OK, "application/json", text)
}

/// An answer that comes in parts, and the place to put them. It ends when that is dropped, and is
/// given up by who reads it when putting fails. The permit is one of
/// [`Shared::stream`](crate::server::Shared::stream).
pub fn parts(media: &'static str, permit: OwnedSemaphorePermit) -> (Response, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel(PARTS_MAX);
    (with(StatusCode::OK, media, Source::Parts { parts: receiver, _permit: permit }), sender)
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Source::Whole(octets) if octets.is_empty() => Poll::Ready(None),
            Source::Whole(octets) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(octets))))),
            Source::Parts { parts, .. } => {
                parts.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Source::Whole(octets) if octets.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(octets) => SizeHint::with_exact(octets.len() as u64),
            Source::Parts { .. } => SizeHint::default(),
        }
    }
}

/// What a whole body has; for tests of routes.
///
/// # Errors
///
/// Never: bodies that are there do not fail.
pub async fn collect(mut body: Body) -> Result<Vec<u8>, Infallible> {
    let mut octets = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            octets.extend_from_slice(&data);
        }
    }
    Ok(octets)
}
