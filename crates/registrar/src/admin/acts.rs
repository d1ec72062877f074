//! What operators do with elements: hold them, list them again, evict them; and what is in force.

use std::sync::Arc;
use std::time::Duration;

use rserpool::registrar::{Evicted, HOLD_MOST, Hold, HoldRow, NotHeld};
use rserpool::wire::param::{PeId, PoolHandle};
use rserpool_web::Bytes;
use rserpool_web::problem::{Kind, Problem};
use rserpool_web::response;
use rserpool_web::route::{Answer, Call};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lists::{self, Part, Wanted, bad_cursor, element_id, handle, unknown_pool};
use super::{Site, in_time, ms, sentence};

/// How long an element is held, where nobody says.
const HOLD: Duration = Duration::from_secs(3600);
/// How long an element that was evicted is not let in, where nobody says.
const BAN: Duration = Duration::from_secs(30);
/// Octets of a reason.
const REASON_MAX: usize = 256;

/// What comes with a hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HoldBody {
    for_ms: Option<u64>,
    reason: String,
    force: bool,
}

/// What comes with an eviction.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EvictBody {
    ban_ms: Option<u64>,
    reason: String,
}

/// What a body says; the defaults where there is none.
pub(super) fn read<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let wrong = |error: serde_json::Error| Problem::new(Kind::BAD_QUERY, error.to_string());
    // An object: a list would do for a structure, too.
    let object: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(wrong)?;
    serde_json::from_value(object.into()).map_err(wrong)
}

/// The element of a path, whether it is there or not.
fn element(call: &Call) -> Result<(PoolHandle, PeId), Problem> {
    let handle = handle(&call.parameters[0])?;
    let text = String::from_utf8_lossy(&call.parameters[1]).into_owned();
    let id = element_id(&text).ok_or_else(|| unknown_element(&handle, &text))?;
    Ok((handle, id))
}

fn unknown_element(handle: &PoolHandle, named: &str) -> Problem {
    let pool = sentence::shown_handle(handle);
    let detail = format!("there is no element `{}` in `{pool}`", named.escape_debug());
    Problem::new(Kind::UNKNOWN_ELEMENT, detail)
}

/// What somebody says of an element for a while.
fn word(
    call: &Call,
    name: &str,
    (asked, default): (Option<u64>, Duration),
    reason: String,
) -> Result<Hold, Problem> {
    let lasting = asked.map_or(default, Duration::from_millis);
    if lasting.is_zero() || lasting > HOLD_MOST {
        let most = HOLD_MOST.as_millis();
        let detail = format!("`{name}` is not from 1 to {most}");
        return Err(Problem::new(Kind::BAD_QUERY, detail));
    }
    if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        let detail = format!("`reason` is not one line of at most {REASON_MAX} octets");
        return Err(Problem::new(Kind::BAD_QUERY, detail));
    }
    Ok(Hold { lasting, by: call.who.name.clone(), reason })
}

/// Why an act was not done.
async fn refusal(site: &Site, why: NotHeld, (handle, id): (PoolHandle, PeId)) -> Problem {
    match why {
        NotHeld::LastListed => {
            let detail = format!(
                "`{}` has no other element that users are told of: add `\"force\": true` (--force) \
                 to hold {id} even so",
                sentence::shown_handle(&handle)
            );
            Problem::new(Kind::LAST_ELEMENT, detail)
        }
        NotHeld::TooMany => Problem::new(Kind::TOO_MANY, "there are too many holds or bans"),
        // There may be others some day.
        _ => match in_time(site.view.pool(handle.clone())).await {
            Ok(None) => unknown_pool(&handle),
            Ok(Some(_)) => unknown_element(&handle, &id.to_string()),
            Err(problem) => problem,
        },
    }
}

/// Does not list an element for a while.
pub(super) fn hold(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        let HoldBody { for_ms, reason, force } = read(&call.body)?;
        let element = element(&call)?;
        let hold = word(&call, "for_ms", (for_ms, HOLD), reason)?;
        call.query.finish(&[])?;
        let lasting = hold.lasting;
        let done = in_time(site.acts.hold(element.clone(), hold, force)).await?;
        if let Err(why) = done {
            return Err(refusal(&site, why, element).await);
        }
        let mut json = about(&site, &element);
        json["held"] = true.into();
        json["for_ms"] = ms(lasting).into();
        Ok(response::json(&json))
    })
}

/// Lists an element again. Nothing is wrong where it was not held.
pub(super) fn release(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        let element = element(&call)?;
        call.query.finish(&[])?;
        let (handle, id) = element.clone();
        in_time(site.acts.release(handle, id)).await?;
        let mut json = about(&site, &element);
        json["held"] = false.into();
        json["for_ms"] = Value::Null;
        Ok(response::json(&json))
    })
}

/// Takes an element out, and does not let it in for a while.
pub(super) fn evict(site: Arc<Site>, call: Call) -> Answer {
    Box::pin(async move {
        let EvictBody { ban_ms, reason } = read(&call.body)?;
        let element = element(&call)?;
        let ban = word(&call, "ban_ms", (ban_ms, BAN), reason)?;
        call.query.finish(&[])?;
        let lasting = ban.lasting;
        let outcome = match in_time(site.acts.evict(element.clone(), ban)).await? {
            Ok(outcome) => outcome,
            Err(why) => return Err(refusal(&site, why, element).await),
        };
        let home = match outcome {
            Evicted::Removed => Some(site.id),
            Evicted::NotHome(home) => home,
            _ => None,
        };
        let mut json = about(&site, &element);
        json["removed"] = (outcome == Evicted::Removed).into();
        json["ban_ms"] = ms(lasting).into();
        json["home"] = home.map(|home| home.to_string()).into();
        Ok(response::json(&json))
    })
}

fn about(site: &Site, (handle, id): &(PoolHandle, PeId)) -> Value {
    json!({
        "registrar": site.id.to_string(),
        "pool": handle.to_string(),
        "id": id.to_string(),
    })
}

/// A page of holds and bans.
pub(super) fn list(site: Arc<Site>, mut call: Call) -> Answer {
    Box::pin(async move {
        let wanted = Wanted::of(&mut call.query)?;
        std::mem::take(&mut call.query).finish(&["limit", "after"])?;
        lists::answer(site, &call, wanted, page).await
    })
}

async fn page(site: Arc<Site>, wanted: Wanted) -> Result<Part, Problem> {
    let after = wanted.after.map(|text| cursor(&text).ok_or_else(bad_cursor)).transpose()?;
    let page = in_time(site.view.holds(after, wanted.limit)).await?;
    let next = page.next.map(|(is_ban, handle, id)| format!("{} {id} {handle}", kind(is_ban)));
    Ok((page.items.iter().map(row).collect(), next))
}

fn cursor(text: &str) -> Option<(bool, PoolHandle, PeId)> {
    let (kind, rest) = text.split_once(' ')?;
    let is_ban = match kind {
        "hold" => false,
        "ban" => true,
        _ => return None,
    };
    let (id, handle) = rest.split_once(' ')?;
    Some((is_ban, PoolHandle::from_text(handle)?, element_id(id)?))
}

const fn kind(is_ban: bool) -> &'static str {
    if is_ban { "ban" } else { "hold" }
}

fn row(row: &HoldRow) -> Value {
    json!({
        "kind": kind(row.is_ban),
        "pool": row.handle.to_string(),
        "id": row.id.to_string(),
        "ends_in_ms": ms(row.ends_in),
        "by": row.by,
        "reason": row.reason,
    })
}
