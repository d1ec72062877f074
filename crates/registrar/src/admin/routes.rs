//! The list of all that can be asked for.

use std::sync::Arc;

use rserpool_web::access::Role;
use rserpool_web::response;
use rserpool_web::route::{Answer, Call, Route};
use rserpool_web::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Site, acts, associations, elements, events, health, metrics, orders, peers, pools, registrar,
    removals,
};

/// The document that describes them all (OpenAPI 3.1).
pub(super) const OPENAPI: &str = include_str!("openapi.json");

const fn get(
    path: &'static str,
    role: Option<Role>,
    about: &'static str,
    answer: fn(Arc<Site>, Call) -> Answer,
) -> Route<Site> {
    Route { method: Method::GET, path, role, about, answer }
}

/// What changes something; whoever may not look may not do that either.
const fn act(
    method: Method,
    path: &'static str,
    about: &'static str,
    answer: fn(Arc<Site>, Call) -> Answer,
) -> Route<Site> {
    Route { method, path, role: Some(Role::Operate), about, answer }
}

const VIEW: Option<Role> = Some(Role::View);
const HOLD: &str = "/v1/pools/{pool}/elements/{id}/hold";

/// All routes. The document and the index at `/v1` have the same, as a test says.
pub(super) static ROUTES: &[Route<Site>] = &[
    get("/healthz", None, "Whether it lives", health::healthz),
    get("/readyz", None, "Whether elements and users should come to it", health::readyz),
    get("/metrics", VIEW, "Metrics for Prometheus", metrics::all),
    get("/v1", VIEW, "This list", index),
    get("/v1/openapi.json", VIEW, "The description of this API", openapi),
    get("/v1/registrar", VIEW, "How this registrar is", registrar::one),
    get("/v1/pools", VIEW, "Pools", pools::list),
    get("/v1/pools/{pool}", VIEW, "One pool", pools::one),
    get("/v1/pools/{pool}/elements", VIEW, "The elements of a pool", elements::of_pool),
    get("/v1/pools/{pool}/elements/{id}", VIEW, "One element", elements::one),
    get(
        "/v1/pools/{pool}/elements/{id}/explain",
        VIEW,
        "Why an element is in its pool, or is not any more",
        removals::explain,
    ),
    get("/v1/elements", VIEW, "Elements of all pools", elements::list),
    get("/v1/peers", VIEW, "The other registrars", peers::list),
    get("/v1/associations", VIEW, "Associations, with anyone", associations::list),
    get("/v1/removals", VIEW, "The last removals, and what was known then", removals::list),
    get("/v1/events", VIEW, "What happened, and what happens", events::list),
    get("/v1/holds", VIEW, "Elements that operators hold, or do not let in", acts::list),
    act(Method::POST, "/v1/reload", "Read the configuration again", orders::reload),
    act(
        Method::POST,
        "/v1/registrar/quiesce",
        "Tell load balancers that nobody should come any more",
        orders::quiesce,
    ),
    act(Method::POST, "/v1/registrar/leave", "Hand the elements over and end", orders::leave),
    act(Method::POST, HOLD, "Do not list an element for a while", acts::hold),
    act(Method::DELETE, HOLD, "List it again", acts::release),
    act(
        Method::POST,
        "/v1/pools/{pool}/elements/{id}/evict",
        "Take an element out, and do not let it in for a while",
        acts::evict,
    ),
];

fn index(_: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        let route = |route: &Route<Site>| {
            json!({
                "method": route.method.as_str(),
                "path": route.path,
                "role": route.role.map(Role::label),
                "about": route.about,
            })
        };
        let routes: Vec<Value> = ROUTES.iter().map(route).collect();
        Ok(response::json(&json!({ "routes": routes })))
    })
}

fn openapi(_: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        Ok(response::whole(StatusCode::OK, "application/json", OPENAPI))
    })
}
