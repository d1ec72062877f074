//! Bodies of requests, which are read once it is known who asks.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};

use crate::problem::{Kind, Problem};

/// A body that is still on its way.
#[derive(Debug)]
pub struct Unread {
    /// `None` where there is none.
    body: Option<Incoming>,
    octets_max: usize,
    timeout: Duration,
}

impl Unread {
    pub(crate) const fn none() -> Self {
        Self { body: None, octets_max: 0, timeout: Duration::ZERO }
    }

    pub(crate) const fn new(body: Incoming, octets_max: usize, timeout: Duration) -> Self {
        Self { body: Some(body), octets_max, timeout }
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`Kind::TOO_LONG`], [`Kind::TOO_SLOW`], or [`Kind::BAD_QUERY`] where it breaks off.
    pub async fn read(self) -> Result<Bytes, Problem> {
        let Some(body) = self.body else { return Ok(Bytes::new()) };
        let too_long = || {
            let detail = format!("a body may have {} octets", self.octets_max);
            Problem::new(Kind::TOO_LONG, detail)
        };
        if body.size_hint().lower() > self.octets_max as u64 {
            return Err(too_long());
        }
        let whole = Limited::new(body, self.octets_max).collect();
        match tokio::time::timeout(self.timeout, whole).await {
            Err(_) => Err(Kind::TOO_SLOW.into()),
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
            Ok(Err(error)) => Err(Problem::new(Kind::BAD_QUERY, error.to_string())),
        }
    }
}
