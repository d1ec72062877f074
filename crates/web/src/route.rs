//! The list of what can be asked for.

use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::{HeaderMap, Method};

use crate::access::{self, Identity, Role, Tokens};
use crate::body::Unread;
use crate::listen::Origin;
use crate::problem::{Kind, Problem};
use crate::query::{Query, decoded};
use crate::response::Response;

/// A request, as far as it came in good order.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// What to do; `HEAD` is `GET` here.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// The part behind the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, which nobody has read yet.
    pub body: Unread,
    /// Who is at the other end.
    pub origin: Origin,
}

/// What a route is asked.
#[derive(Clone, Debug)]
pub struct Call {
    /// The octets that stand for the parts in braces of its path, in order.
    pub parameters: Vec<Vec<u8>>,
    /// The parameters.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who asks.
    pub who: Identity,
}

/// What a route answers, once it does.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// One thing that can be asked for; `S` is what answers are made of.
#[derive(Debug)]
pub struct Route<S> {
    /// What to do with it.
    pub method: Method,
    /// Where it is; parts in braces stand for any.
    pub path: &'static str,
    /// What it takes to be allowed; `None` for everyone.
    pub role: Option<Role>,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Makes the answer.
    pub answer: fn(Arc<S>, Call) -> Answer,
}

/// What a request is for.
#[derive(Debug)]
pub struct Found<'a, S> {
    /// The route.
    pub route: &'a Route<S>,
    /// What stands for the parts in braces.
    pub parameters: Vec<Vec<u8>>,
}

/// Finds the route of a request.
///
/// # Errors
///
/// [`Kind::UNKNOWN_PATH`], or [`Kind::METHOD`] where something else can be done with it.
pub fn find<'a, S>(routes: &'a [Route<S>], request: &Request) -> Result<Found<'a, S>, Problem> {
    let mut allowed = Vec::new();
    for route in routes {
        let Some(parameters) = matched(route.path, &request.path) else { continue };
        if route.method == request.method {
            return Ok(Found { route, parameters });
        }
        allowed.push(route.method.as_str());
    }
    match allowed.is_empty() {
        true => Err(Kind::UNKNOWN_PATH.into()),
        false => {
            let detail = format!("what can be done with it is {}", allowed.join(", "));
            Err(Problem::new(Kind::METHOD, detail))
        }
    }
}

fn matched(pattern: &str, path: &str) -> Option<Vec<Vec<u8>>> {
    let mut parameters = Vec::new();
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return Some(parameters),
            (Some(wanted), Some(part)) if wanted.starts_with('{') && !part.is_empty() => {
                parameters.push(decoded(part));
            }
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return None,
        }
    }
}

/// Answers a request by a list of routes, as far as who asks may. Also which route it was.
pub async fn answer<S>(
    routes: &'static [Route<S>],
    state: Arc<S>,
    tokens: &Tokens,
    request: Request,
) -> (Option<&'static str>, Response) {
    let id = request.id;
    let found = match find(routes, &request) {
        Ok(found) => found,
        Err(problem) => return (None, problem.response(id)),
    };
    let Found { route, parameters } = found;
    let admitted = access::identify(tokens, request.origin, &request.headers).and_then(|who| {
        access::admit(&who, route.role, &request.headers)?;
        Ok(who)
    });
    let who = match admitted {
        Ok(who) => who,
        Err(problem) => return (Some(route.path), problem.response(id)),
    };
    let query = Query::of(&request.query);
    let Request { headers, body, .. } = request;
    let answer = async {
        let body = body.read().await?;
        (route.answer)(state, Call { parameters, query, headers, body, who }).await
    };
    (Some(route.path), answer.await.unwrap_or_else(|problem| problem.response(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_braces_stand_for_any_octets() {
        let pattern = "/v1/pools/{pool}/elements/{id}";
        let found = matched(pattern, "/v1/pools/a%2Fb%00/elements/0x1").unwrap();
        assert_eq!(found, [b"a/b\0".to_vec(), b"0x1".to_vec()]);
        for other in ["/v1/pools//elements/1", "/v1/pools/a/elements", "/v1/pools/a/elements/1/"] {
            assert_eq!(matched(pattern, other), None, "{other}");
        }
        assert_eq!(matched("/", "/"), Some(vec![]));
    }
}
