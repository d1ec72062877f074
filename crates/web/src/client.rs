//! Asking such a server.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::listen::Endpoint;

/// Asks one server. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    token: Option<String>,
    timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach {endpoint}: {source}")]
    Unreachable {
        /// The server.
        endpoint: Endpoint,
        /// What the system says.
        source: io::Error,
    },
    /// It takes too long.
    #[error("{endpoint} did not answer within {within:?}")]
    Timeout {
        /// The server.
        endpoint: Endpoint,
        /// For how long it was waited.
        within: Duration,
    },
    /// What comes is no HTTP, or breaks off.
    #[error("{endpoint} does not answer as a server does: {what}")]
    Broken {
        /// The server.
        endpoint: Endpoint,
        /// What is wrong.
        what: String,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Lines {
    endpoint: Endpoint,
    body: Incoming,
    buffer: Vec<u8>,
}

/// Octets of an answer, at most.
const ANSWER_MAX: usize = 64 << 20;
/// Octets of a line of an answer that goes on.
const LINE_MAX: usize = 1 << 20;

impl Client {
    /// Asks this server; each answer may take so long.
    pub fn new(endpoint: Endpoint, token: Option<String>, timeout: Duration) -> Self {
        Self { endpoint, token, timeout }
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What is at a path.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; an answer that says no is none.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks for something to be done; `body` is JSON.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; an answer that says no is none.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Reply, ClientError> {
        self.ask(method, path, Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, ClientError> {
        let whole = async {
            let response = self.request(method, path, body, "application/json").await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| {
                let too_long = error.is::<LengthLimitError>();
                self.broken(if too_long {
                    "its answer has no end".into()
                } else {
                    error.to_string()
                })
            })?;
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let late = |_| self.late();
        tokio::time::timeout(self.timeout, whole).await.map_err(late)?
    }

    /// What is at a path, a line at a time, as long as it goes on; the whole where it says no.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn lines(
        &self,
        path: &str,
        media: &str,
    ) -> Result<Result<Lines, Reply>, ClientError> {
        let first = async {
            let response = self.request(Method::GET, path, None, media).await?;
            let (head, body) = response.into_parts();
            if head.status == StatusCode::OK {
                let endpoint = self.endpoint.clone();
                return Ok(Ok(Lines { endpoint, body, buffer: Vec::new() }));
            }
            let body = Limited::new(body, LINE_MAX).collect().await;
            let body = body.map_err(|error| self.broken(error.to_string()))?.to_bytes();
            Ok(Err(Reply { status: head.status, headers: head.headers, body }))
        };
        let late = |_| self.late();
        tokio::time::timeout(self.timeout, first).await.map_err(late)?
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        media: &str,
    ) -> Result<hyper::Response<Incoming>, ClientError> {
        let failed = |source| ClientError::Unreachable { endpoint: self.endpoint.clone(), source };
        let host = match &self.endpoint {
            Endpoint::Unix(_) => "localhost".to_owned(),
            http @ Endpoint::Http { .. } => http.to_string().replacen("http://", "", 1),
        };
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, media);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|error| self.broken(error.to_string()))?;
        match &self.endpoint {
            Endpoint::Unix(path) => {
                self.over(UnixStream::connect(path).await.map_err(failed)?, request).await
            }
            Endpoint::Http { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
                self.over(stream, request).await
            }
        }
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, ClientError> {
        let broken = |error: hyper::Error| self.broken(error.to_string());
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    fn broken(&self, what: String) -> ClientError {
        ClientError::Broken { endpoint: self.endpoint.clone(), what }
    }

    fn late(&self) -> ClientError {
        ClientError::Timeout { endpoint: self.endpoint.clone(), within: self.timeout }
    }
}

impl Lines {
    /// The next line, without its end; `None` once the server has ended it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Broken`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            let broken =
                |what: String| ClientError::Broken { endpoint: self.endpoint.clone(), what };
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error.to_string())),
                Some(Ok(frame)) => {
                    let octets = frame.into_data().unwrap_or_default();
                    if self.buffer.len() + octets.len() > LINE_MAX {
                        return Err(broken("a line has no end".into()));
                    }
                    self.buffer.extend_from_slice(&octets);
                }
            }
        }
    }
}
