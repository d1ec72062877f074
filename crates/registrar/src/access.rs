//! The file that says who may do what; `access.example.toml` shows every key.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rserpool::registrar::access::{Allow, PeerRule, PoolPattern, Rules, Verb, Who};
use rserpool::transport::Address;
use rserpool::wire::param::{Load, PeId, RegistrarId};
use rserpool::wire::registry::PolicyType;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Octets of the file at most.
const FILE_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// The rules.
    pub rules: Rules,
    /// Where each of [`Rules::allow`] begins, as a line of the file, from 1.
    pub lines: Vec<usize>,
    /// Where registrars are: they are dialed as those of the configuration are.
    pub urls: Vec<Address>,
}

/// Why the file cannot be used: nothing of it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessError {
    /// The file.
    pub path: PathBuf,
    /// All that is wrong, with line and column, from 1; 0 where the file cannot be read.
    pub problems: Vec<(usize, usize, String)>,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for (number, (line, column, what)) in self.problems.iter().enumerate() {
            let end = if number == 0 { "" } else { ";" };
            match line {
                0 => write!(f, ": {what}")?,
                _ => write!(f, "{end} line {line}, column {column}: {what}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for AccessError {}

impl Access {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let error = |what: String| AccessError { path: path.into(), problems: vec![(0, 0, what)] };
        let cannot = |why: std::io::Error| error(format!("cannot be read: {why}"));
        if std::fs::metadata(path).map_err(cannot)?.len() > FILE_MAX {
            return Err(error("is longer than 1 MiB".into()));
        }
        let text = std::fs::read_to_string(path).map_err(cannot)?;
        Self::read(&text).map_err(|problems| AccessError { path: path.into(), problems })
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, with line and column.
    pub fn read(text: &str) -> Result<Self, Vec<(usize, usize, String)>> {
        let mut reader = Reader { found: Vec::new(), text };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.found.push((at, error.message().to_owned()));
        }
        let mut access = Self::default();
        for (key, value) in table.get_ref() {
            let entries = value.get_ref().as_array().into_iter().flat_map(|it| it.iter());
            match &**key.get_ref() {
                "peer" => entries.for_each(|it| reader.peer(it, &mut access)),
                "allow" => entries.for_each(|it| reader.allow(it, &mut access)),
                other => reader.unknown(key, other, &["peer", "allow"]),
            }
            if !value.get_ref().is_array() && matches!(&**key.get_ref(), "peer" | "allow") {
                reader.say(key, format!("write [[{}]]", key.get_ref()));
            }
        }
        if reader.found.is_empty() {
            return Ok(access);
        }
        reader.found.sort();
        let found = reader.found.iter();
        Err(found
            .map(|(at, what)| (place(text, *at).0, place(text, *at).1, what.clone()))
            .collect())
    }
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

type Value<'a> = Spanned<DeValue<'a>>;

/// What is wrong so far, and where.
struct Reader<'t> {
    found: Vec<(usize, String)>,
    text: &'t str,
}

const PEER_KEYS: [&str; 3] = ["id", "who", "url"];
const ALLOW_KEYS: [&str; 12] = [
    "who",
    "pools",
    "may",
    "ids",
    "policy",
    "weight_min",
    "weight_max",
    "load_min",
    "load_max",
    "elements_max",
    "associations_max",
    "rate",
];

impl Reader<'_> {
    fn say<T>(&mut self, at: &Spanned<T>, what: String) {
        self.found.push((at.span().start, what));
    }

    fn unknown<T>(&mut self, at: &Spanned<T>, key: &str, known: &[&str]) {
        let known = known.join(", ");
        self.say(at, format!("unknown key `{}`, none of {known}", key.escape_debug()));
    }

    /// A value that is written as text.
    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, value: &Value<'_>) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            self.say(value, "this has to be a text".into());
            return None;
        };
        text.parse().map_err(|error: T::Err| self.say(value, error.to_string())).ok()
    }

    fn number(&mut self, value: &Value<'_>) -> Option<u32> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|it| u32::from_str_radix(it.as_str(), it.radix()).ok());
        if number.is_none() {
            self.say(value, "this has to be a number from 0 to 4294967295".into());
        }
        number
    }

    fn fraction(&mut self, value: &Value<'_>) -> Option<Load> {
        let (float, integer) = (value.get_ref().as_float(), value.get_ref().as_integer());
        let text = float.map(|it| it.as_str()).or_else(|| integer.map(|it| it.as_str()));
        let number = text.and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|number| (0.0..=1.0).contains(number)).map(Load::from_fraction);
        if number.is_none() {
            self.say(value, "this has to be a number from 0.0 to 1.0".into());
        }
        number
    }

    fn list<T>(
        &mut self,
        value: &Value<'_>,
        one: impl Fn(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(array) = value.get_ref().as_array().filter(|it| !it.is_empty()) else {
            self.say(value, "this has to be a list that is not empty".into());
            return Vec::new();
        };
        array.iter().filter_map(|value| one(self, value)).collect()
    }

    /// An entry that says something. One that does not may have been meant to.
    fn table<'v>(&mut self, entry: &'v Value<'v>, key: &str) -> Option<&'v DeTable<'v>> {
        let table = entry.get_ref().as_table();
        if table.is_none() {
            self.say(entry, format!("write [[{key}]], and each of its keys on a line of its own"));
        }
        table
    }

    fn peer(&mut self, entry: &Value<'_>, access: &mut Access) {
        let Some(table) = self.table(entry, "peer") else { return };
        let (mut id, mut who) = (None, None);
        for (key, value) in table {
            match &**key.get_ref() {
                "id" => {
                    id = self.number(value).and_then(RegistrarId::new);
                    if id.is_none() {
                        self.say(value, "a registrar's identifier is 1 to 0xffffffff".into());
                    }
                }
                "who" => who = self.parsed::<Who>(value),
                "url" => access.urls.extend(self.url(value)),
                other => self.unknown(key, other, &PEER_KEYS),
            }
        }
        for key in PEER_KEYS.iter().take(2).filter(|key| table.get(**key).is_none()) {
            self.say(entry, format!("{key} is missing"));
        }
        let (Some(id), Some(who)) = (id, who) else { return };
        if matches!(who, Who::Anonymous | Who::Any) {
            self.say(entry, format!("a registrar is somebody, not `{who}`"));
        }
        let other = access.rules.peers.iter().find(|it| it.who == who && it.id != id);
        if let Some(other) = other {
            self.say(entry, format!("{who} is bound to {} already", other.id));
        }
        access.rules.peers.push(PeerRule { id, who });
    }

    fn url(&mut self, value: &Value<'_>) -> Option<Address> {
        let text = value.get_ref().as_str().unwrap_or_default();
        let url = Address::parse(text, Address::ENRP_PORT);
        url.map_err(|error| self.say(value, error.to_string())).ok()
    }

    fn allow(&mut self, entry: &Value<'_>, access: &mut Access) {
        let Some(table) = self.table(entry, "allow") else { return };
        let mut rule = Allow::new(Who::Any, Vec::new());
        let before = self.found.len();
        for (key, value) in table {
            self.key(key, value, &mut rule);
        }
        for key in ["who", "may"].iter().filter(|key| table.get(**key).is_none()) {
            self.say(entry, format!("{key} is missing"));
        }
        if self.found.len() > before {
            return;
        }
        self.contradictions(entry, &rule, table);
        let hidden = access.rules.allow.iter().position(|earlier| hides(earlier, &rule));
        if let Some(earlier) = hidden {
            let line = access.lines[earlier];
            self.say(entry, format!("the rule in line {line} decides all of this before"));
        }
        access.rules.allow.push(rule);
        access.lines.push(place(self.text, entry.span().start).0);
    }

    fn key(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Value<'_>,
        rule: &mut Allow,
    ) {
        let set = |place: &mut u32, value: Option<u32>| *place = value.unwrap_or(*place);
        let set_load = |place: &mut Load, value: Option<Load>| *place = value.unwrap_or(*place);
        match &**key.get_ref() {
            "who" => rule.who = self.parsed(value).unwrap_or(Who::Any),
            "pools" => {
                rule.pools = self.list(value, |it, value| {
                    it.parsed::<String>(value).map(|pool| PoolPattern::new(pool.as_bytes()))
                });
            }
            "may" => rule.may = self.list(value, Self::parsed::<Verb>),
            "ids" => rule.ids = self.list(value, |it, value| it.number(value).map(PeId)),
            "policy" => rule.policy = self.policy(value),
            "weight_min" => set(&mut rule.weight.0, self.number(value)),
            "weight_max" => set(&mut rule.weight.1, self.number(value)),
            "load_min" => set_load(&mut rule.load.0, self.fraction(value)),
            "load_max" => set_load(&mut rule.load.1, self.fraction(value)),
            "elements_max" => rule.elements_max = self.number(value),
            "associations_max" => rule.associations_max = self.number(value),
            "rate" => rule.rate = self.rate(value),
            other => self.unknown(key, other, &ALLOW_KEYS),
        }
    }

    fn policy(&mut self, value: &Value<'_>) -> Option<PolicyType> {
        let known = PolicyType::ASSIGNED.iter().copied();
        let name = value.get_ref().as_str();
        let found = known.clone().find(|known| name.is_some() && known.label() == name);
        if found.is_none() {
            let names: Vec<&str> = known.filter_map(PolicyType::label).collect();
            self.say(value, format!("this is none of {}", names.join(", ")));
        }
        found
    }

    fn rate(&mut self, value: &Value<'_>) -> Option<NonZeroU32> {
        let text = value.get_ref().as_str().and_then(|text| text.strip_suffix("/s"));
        let rate = text.and_then(|text| text.trim().parse().ok());
        if rate.is_none() {
            self.say(value, "write how often a second, such as \"50/s\"".into());
        }
        rate
    }

    /// What goes together in no way.
    fn contradictions(&mut self, at: &Value<'_>, rule: &Allow, table: &DeTable<'_>) {
        if rule.weight.0 > rule.weight.1 {
            self.say(at, "weight_min is above weight_max".into());
        }
        if rule.load.0 > rule.load.1 {
            self.say(at, "load_min is above load_max".into());
        }
        let may = |verb: &Verb| rule.may.contains(verb);
        let of_elements = &ALLOW_KEYS[3..10];
        if let (false, Some(key)) =
            (may(&Verb::Register), of_elements.iter().find(|key| table.get(**key).is_some()))
        {
            self.say(
                at,
                format!("{key} is about elements, which nobody may register by this rule"),
            );
        }
        if table.get("pools").is_some() && !rule.may.iter().any(|verb| verb.has_pool()) {
            self.say(at, "pools is there, but what they may do is about no pool".into());
        }
        if rule.who == Who::Anonymous && (may(&Verb::Administer) || may(&Verb::Peer)) {
            self.say(
                at,
                "who has proved nothing can be neither registrar nor administrator".into(),
            );
        }
    }
}

/// Whether a rule leaves nothing to a later one.
fn hides(earlier: &Allow, later: &Allow) -> bool {
    let is_same =
        earlier.who == later.who || earlier.who == Who::Any && later.who != Who::Anonymous;
    let covers = |pool: &PoolPattern| {
        earlier.pools.contains(pool) || earlier.pools.contains(&PoolPattern::all())
    };
    let has_pools = later.may.iter().any(|verb| verb.has_pool());
    is_same
        && later.may.iter().all(|verb| earlier.may.contains(verb))
        && (!has_pools || later.pools.iter().all(covers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_can_be_used_and_has_every_key() {
        let text = include_str!("../access.example.toml");
        let access = Access::read(text).unwrap();
        for key in PEER_KEYS.iter().chain(&ALLOW_KEYS) {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
        }
        for verb in Verb::ALL {
            let is_used = access.rules.allow.iter().any(|rule| rule.may.contains(&verb));
            assert!(is_used || verb == Verb::Peer, "{verb}");
        }
        assert_eq!(access.urls.len(), 1);
    }

    #[test]
    fn all_that_is_wrong_is_said_with_line_and_column() {
        let text = "[[allow]]\nwho = 'somebody'\nmay = ['registr', 'resolve']\n\n[[allow]]\nwho = 'any'\n\
                    weigth_max = 1\n[[peer]]\nid = 0\nwho = 'any'\n[other]\n";
        let found = Access::read(text).unwrap_err();
        let places: Vec<(usize, usize)> = found.iter().map(|(line, at, _)| (*line, *at)).collect();
        assert_eq!(places, [(2, 7), (3, 8), (5, 1), (7, 1), (9, 6), (11, 2)], "{found:?}");
        let said = found.iter().map(|(.., what)| what.as_str()).collect::<Vec<_>>().join("\n");
        for what in
            ["`somebody` is nobody", "`registr` is none of", "may is missing", "`weigth_max`"]
        {
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        let rule = |more: &str| format!("[[allow]]\nwho = 'any'\n{more}\n");
        for (text, what) in [
            (rule("may = ['register']\nweight_min = 2\nweight_max = 1"), "weight_min is above"),
            (rule("may = ['register']\nload_min = 0.5\nload_max = 0.2"), "load_min is above"),
            (rule("may = ['resolve']\nids = [1]"), "ids is about elements"),
            (rule("may = ['administer']\npools = ['a']"), "about no pool"),
            (rule("may = []"), "not empty"),
            (rule("may = ['resolve']\nrate = 'often'"), "such as \"50/s\""),
            (rule("may = ['register']\npolicy = 'best'"), "none of round-robin"),
            (rule("may = ['register']\nload_min = 2"), "from 0.0 to 1.0"),
            (rule("may = ['resolve']") + &rule("may = ['resolve']\npools = ['a']"), "in line 1"),
            ("[[allow]]\nwho = 'anonymous'\nmay = ['peer']".into(), "proved nothing"),
            ("[[peer]]\nid = 1\nwho = 'any'".into(), "is somebody"),
            ("[[peer]]\nid = 1\nwho = 'san:r'\n[[peer]]\nid = 2\nwho = 'san:r'".into(), "already"),
            ("allow = 1".into(), "write [[allow]]"),
            ("allow = ['any']".into(), "write [[allow]]"),
            ("peer = [1, { id = 1, who = 'san:r' }]".into(), "write [[peer]]"),
            ("allow = [[]]".into(), "write [[allow]]"),
            ("[[allow".into(), ""),
        ] {
            let found = Access::read(&text).unwrap_err();
            assert!(found.iter().any(|(.., it)| it.contains(what)), "{text}: {found:?}");
        }
    }
}
