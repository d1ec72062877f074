//! Who may do what in a secure scope: rules, and the one function that decides by them.
//!
//! What no rule allows is refused. Of the rules that are about somebody, a verb and a pool the first
//! one decides: where a request is beyond its bounds, later rules are not asked.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use rserpool_wire::param::{Load, PeId, Policy, PolicyField, RegistrarId};
use rserpool_wire::registry::PolicyType;

use crate::identity::{Identity, KEY_PREFIX};

/// What somebody may do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Verb {
    /// Register elements in a pool, and deregister them.
    Register,
    /// Ask who is in a pool, and be told of changes.
    Resolve,
    /// Report that an element of a pool cannot be reached; [`Resolve`](Self::Resolve) is needed, too.
    Report,
    /// Fetch lists of registrars and handle tables.
    Administer,
    /// Be a registrar, with any identifier that is not another one's.
    Peer,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Register, Self::Resolve, Self::Report, Self::Administer, Self::Peer];

    /// The name, as in files.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Resolve => "resolve",
            Self::Report => "report",
            Self::Administer => "administer",
            Self::Peer => "peer",
        }
    }

    /// True where it is about a pool.
    pub const fn has_pool(self) -> bool {
        matches!(self, Self::Register | Self::Resolve | Self::Report)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verb| verb.label() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::label).join(", ");
            format!("`{}` is none of {known}", text.escape_debug())
        })
    }
}

/// Whom a rule is about: `spki:` and 64 hexadecimal digits, `san:` and a name, `anonymous`, or `any`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Who {
    /// Who has this public key (SHA-256 of its SubjectPublicKeyInfo).
    Key([u8; 32]),
    /// Who has this name in a certificate of an authority. A `*` stands for one label of a host name
    /// or one segment of a URI.
    Name(String),
    /// Who has proved nothing.
    Anonymous,
    /// Who has proved to be anybody.
    Any,
}

impl Who {
    /// Whether it is this one, who has proved to be that, or nothing.
    pub fn is(&self, who: Option<&Identity>) -> bool {
        match (self, who) {
            (Self::Anonymous, None) | (Self::Any, Some(_)) => true,
            (Self::Key(key), Some(who)) => who.key() == key,
            (Self::Name(pattern), Some(who)) => who.names().iter().any(|it| fits(pattern, it)),
            (_, None) | (Self::Anonymous, Some(_)) => false,
        }
    }
}

/// Whether a name fits a pattern. Names of hosts are compared label by label, URIs by segments; a
/// `*` in a host name stands for no URI.
fn fits(pattern: &str, name: &str) -> bool {
    if pattern.contains(':') != name.contains(':') {
        return false;
    }
    let end = if pattern.contains("://") { '/' } else { '.' };
    let (mut wanted, mut there) = (pattern.split(end), name.split(end));
    loop {
        match (wanted.next(), there.next()) {
            (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(wanted), Some(part)) if wanted == part => {}
            (Some(wanted), Some(part)) if end == '.' && wanted.eq_ignore_ascii_case(part) => {}
            _ => return false,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => {
                write!(f, "{KEY_PREFIX}{}", HEXLOWER_PERMISSIVE.encode_display(key))
            }
            Self::Name(name) => write!(f, "san:{}", name.escape_debug()),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "`{}` is nobody: write spki: and 64 hexadecimal digits, san: and a name, anonymous, or any",
                text.escape_debug()
            )
        };
        if let Some(digits) = text.strip_prefix(KEY_PREFIX) {
            let key = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
            return key.and_then(|key| key.try_into().ok()).map(Self::Key).ok_or_else(error);
        }
        match (text, text.split_once(':')) {
            ("anonymous", _) => Ok(Self::Anonymous),
            ("any", _) => Ok(Self::Any),
            (_, Some(("san", name))) if !name.is_empty() => Ok(Self::Name(name.to_owned())),
            _ => Err(error()),
        }
    }
}

/// A pool handle, or the beginning of handles with a `*` after it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PoolPattern {
    beginning: Box<[u8]>,
    is_open: bool,
}

impl PoolPattern {
    /// All pools.
    pub fn all() -> Self {
        Self::new(b"*")
    }

    /// From its text.
    pub fn new(text: &[u8]) -> Self {
        let open = text.strip_suffix(b"*");
        Self { beginning: open.unwrap_or(text).into(), is_open: open.is_some() }
    }

    /// Whether this handle is meant.
    pub fn is(&self, handle: &[u8]) -> bool {
        match self.is_open {
            true => handle.starts_with(&self.beginning),
            false => *handle == *self.beginning,
        }
    }
}

/// A registrar of the scope: whoever has this identifier has to be that one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerRule {
    /// Its identifier.
    pub id: RegistrarId,
    /// Who it has to have proved to be.
    pub who: Who,
}

/// What somebody may do in some pools, and the bounds of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Allow {
    /// Whom it is about.
    pub who: Who,
    /// The pools. [`Verb::Administer`] and [`Verb::Peer`] are not about pools.
    pub pools: Vec<PoolPattern>,
    /// What they may do.
    pub may: Vec<Verb>,
    /// The identifiers that their elements may have; empty, any.
    pub ids: Vec<PeId>,
    /// The policy that their elements have to have; `None`, any.
    pub policy: Option<PolicyType>,
    /// The least and the greatest weight, where their policy has one.
    pub weight: (u32, u32),
    /// The least and the greatest load, where their policy has one. A least load holds those who say
    /// that they are idle, to be asked more often.
    pub load: (Load, Load),
    /// Elements of one identity at once, in all pools.
    pub elements_max: Option<u32>,
    /// Associations of one identity for ASAP at once.
    pub associations_max: Option<u32>,
    /// Requests of one identity per second.
    pub rate: Option<NonZeroU32>,
}

impl Allow {
    /// Without bounds, in all pools.
    pub fn new(who: Who, may: Vec<Verb>) -> Self {
        Self {
            who,
            pools: vec![PoolPattern::all()],
            may,
            ids: Vec::new(),
            policy: None,
            weight: (0, u32::MAX),
            load: (Load(0), Load::FULL),
            elements_max: None,
            associations_max: None,
            rate: None,
        }
    }

    fn is_about(&self, request: &Request<'_>) -> bool {
        self.may.contains(&request.verb)
            && request.pool.is_none_or(|pool| self.pools.iter().any(|it| it.is(pool)))
    }

    fn bears(&self, id: PeId, policy: &Policy) -> Result<(), Denial> {
        let outside = |field, low, high| {
            policy.get(field).is_some_and(|value| !(low..=high).contains(&value))
        };
        if !self.ids.is_empty() && !self.ids.contains(&id) {
            Err(Denial::Id)
        } else if self.policy.is_some_and(|wanted| wanted != policy.policy_type()) {
            Err(Denial::Policy)
        } else if outside(PolicyField::Weight, self.weight.0, self.weight.1) {
            Err(Denial::Weight)
        } else if outside(PolicyField::Load, self.load.0.0, self.load.1.0) {
            Err(Denial::Load)
        } else {
            Ok(())
        }
    }
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Denial {
    /// No rule allows it.
    NoRule,
    /// The certificate is for another role.
    Role,
    /// The identifier is another registrar's, or this one has another.
    PeerId,
    /// The element is another identity's.
    Owner,
    /// Not with this identifier.
    Id,
    /// Not with this policy.
    Policy,
    /// The weight is out of bounds.
    Weight,
    /// The load is out of bounds.
    Load,
    /// There are as many elements of this identity as may be.
    Elements,
    /// There are as many associations of this identity as may be.
    Associations,
    /// There were as many requests of this identity as may be.
    Rate,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "no rule allows it",
            Self::Role => "the certificate is for another role",
            Self::PeerId => "the identifier of the registrar is bound to somebody else",
            Self::Owner => "the element is somebody else's",
            Self::Id => "the identifier of the element is not one of ids",
            Self::Policy => "the policy is another one",
            Self::Weight => "the weight is out of bounds",
            Self::Load => "the load is out of bounds",
            Self::Elements => "elements_max is reached",
            Self::Associations => "associations_max is reached",
            Self::Rate => "rate is reached",
        })
    }
}

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// What to do.
    pub verb: Verb,
    /// In which pool; `None` where the verb is not about one.
    pub pool: Option<&'a [u8]>,
    /// With which element, where it registers.
    pub element: Option<(PeId, &'a Policy)>,
}

impl<'a> Request<'a> {
    /// Something that is not about an element.
    pub fn new(verb: Verb, pool: Option<&'a [u8]>) -> Self {
        Self { verb, pool: pool.filter(|_| verb.has_pool()), element: None }
    }

    /// A registration.
    pub fn register(pool: &'a [u8], id: PeId, policy: &'a Policy) -> Self {
        Self { verb: Verb::Register, pool: Some(pool), element: Some((id, policy)) }
    }
}

/// The rule that decides, counted from 0 among [`Rules::allow`], and why it refuses; without a rule
/// there is none that allows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The rule; `None` where none is about it.
    pub rule: Option<usize>,
    /// Whether, and if not why.
    pub allowed: Result<(), Denial>,
}

/// Who may do what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// The registrars.
    pub peers: Vec<PeerRule>,
    /// Everything else, in order.
    pub allow: Vec<Allow>,
}

impl Rules {
    /// The rules that are about somebody, in order.
    pub fn about(&self, who: Option<&Identity>) -> Vec<usize> {
        let rules = self.allow.iter().enumerate();
        rules.filter(|(_, rule)| rule.who.is(who)).map(|(number, _)| number).collect()
    }

    /// Whether somebody may do something. How much of it there is already is not looked at.
    pub fn decide(&self, who: Option<&Identity>, request: &Request<'_>) -> Verdict {
        self.decide_among(&self.about(who), request)
    }

    /// The same where the rules about somebody are known.
    pub(super) fn decide_among(&self, about: &[usize], request: &Request<'_>) -> Verdict {
        let mut rules = about.iter().filter_map(|&number| Some((number, self.allow.get(number)?)));
        let Some((number, rule)) = rules.find(|(_, rule)| rule.is_about(request)) else {
            return Verdict { rule: None, allowed: Err(Denial::NoRule) };
        };
        let bears = request.element.map_or(Ok(()), |(id, policy)| rule.bears(id, policy));
        Verdict { rule: Some(number), allowed: bears }
    }

    /// Whether somebody may be the registrar with this identifier.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn decide_peer(&self, who: Option<&Identity>, id: RegistrarId) -> Result<(), Denial> {
        may_be_registrar(who)?;
        let listed = |by: fn(&PeerRule, RegistrarId) -> bool| {
            self.peers.iter().filter(move |peer| by(peer, id))
        };
        let of_id = || listed(|peer, id| peer.id == id);
        if of_id().any(|peer| peer.who.is(who)) {
            return Ok(());
        }
        if of_id().next().is_some() || listed(|peer, id| peer.id != id).any(|it| it.who.is(who)) {
            return Err(Denial::PeerId);
        }
        self.decide(who, &Request::new(Verb::Peer, None)).allowed
    }

    /// Whether a registrar's identifier is bound to this one.
    pub(super) fn binds(&self, who: Option<&Identity>, id: RegistrarId) -> bool {
        self.peers.iter().any(|peer| peer.id == id && peer.who.is(who))
    }

    /// Whether somebody has any business with ENRP.
    pub(super) fn may_speak_enrp(&self, who: Option<&Identity>) -> bool {
        let about = self.about(who);
        let may = |verb| self.decide_among(&about, &Request::new(verb, None)).allowed.is_ok();
        self.peers.iter().any(|peer| peer.who.is(who)) || may(Verb::Peer) || may(Verb::Administer)
    }
}

/// Whether somebody may be a registrar as far as certificates say: one with roles has to have that
/// role, and one without says nothing.
///
/// # Errors
///
/// [`Denial::Role`].
pub fn may_be_registrar(who: Option<&Identity>) -> Result<(), Denial> {
    let roles = who.into_iter().flat_map(Identity::roles);
    match roles.fold(None, |is: Option<bool>, role| Some(is == Some(true) || role == "registrar")) {
        Some(false) => Err(Denial::Role),
        Some(true) | None => Ok(()),
    }
}
