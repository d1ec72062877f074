use std::fmt;
use std::str::FromStr;

use crate::codec::{Codec, HEADER_LEN, Reader, Writer, padding_len};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::registry::{ParamType, PolicyType};

/// How busy an element is: 0 is idle, `u32::MAX` is 100 % (RFC 5356 §5.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Load(pub u32);

impl Load {
    /// 100 %.
    pub const FULL: Self = Self(u32::MAX);

    /// The load of a fraction between 0.0 (idle) and 1.0 (full); what is outside counts as the
    /// nearer end, not-a-number as full.
    pub fn from_fraction(fraction: f64) -> Self {
        if fraction.is_nan() {
            return Self::FULL;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and u32::MAX"
        )]
        Self((fraction.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32)
    }

    /// The load as a fraction between 0.0 and 1.0.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

/// A number that an element gives its policy; the meaning of one 32-bit field.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PolicyField {
    /// Relative share of the selections; 0 is never selected.
    Weight,
    /// The higher, the sooner.
    Priority,
    /// A [`Load`].
    Load,
    /// By how much one selection raises the [`Load`].
    LoadDegradation,
    /// Distance penalty factor of the weight: a fraction of `u32::MAX`.
    WeightDpf,
    /// Distance penalty factor of the load: a fraction of `u32::MAX`.
    LoadDpf,
    /// Milliseconds from the registrar to the element.
    Distance,
}

impl PolicyField {
    /// The name, in snake case, as in JSON and on the command line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Priority => "priority",
            Self::Load => "load",
            Self::LoadDegradation => "load_degradation",
            Self::WeightDpf => "weight_dpf",
            Self::LoadDpf => "load_dpf",
            Self::Distance => "distance",
        }
    }

    /// True where an operator sets it; the others are measured.
    const fn is_set(self) -> bool {
        !matches!(self, Self::Load | Self::Distance)
    }

    fn parse(self, text: &str) -> Option<u32> {
        if !self.is_fraction() {
            return text.parse().ok();
        }
        let fraction: f64 = text.parse().ok()?;
        (0.0..=1.0).contains(&fraction).then(|| Load::from_fraction(fraction).0)
    }

    /// True where the number is a fraction of `u32::MAX`.
    pub const fn is_fraction(self) -> bool {
        match self {
            Self::Load | Self::LoadDegradation | Self::WeightDpf | Self::LoadDpf => true,
            Self::Weight | Self::Priority | Self::Distance => false,
        }
    }
}

impl PolicyType {
    /// The fields of this policy in wire order, `None` where the policy is not known.
    pub const fn fields(self) -> Option<&'static [PolicyField]> {
        use PolicyField::{Distance, Load, LoadDegradation, LoadDpf, Priority, Weight, WeightDpf};
        Some(match self {
            Self::ROUND_ROBIN | Self::RANDOM => &[],
            Self::WEIGHTED_ROUND_ROBIN | Self::WEIGHTED_RANDOM => &[Weight],
            Self::PRIORITY => &[Priority],
            Self::LEAST_USED | Self::RANDOMIZED_LEAST_USED => &[Load],
            Self::LEAST_USED_DEGRADATION
            | Self::PRIORITY_LEAST_USED
            | Self::RANDOMIZED_PRIORITY_LEAST_USED
            | Self::RANDOMIZED_LEAST_USED_DEGRADATION
            | Self::PRIORITY_LEAST_USED_DEGRADATION
            | Self::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION => &[Load, LoadDegradation],
            Self::WEIGHTED_RANDOM_DPF => &[Weight, WeightDpf, Distance],
            Self::LEAST_USED_DPF => &[Load, LoadDpf, Distance],
            Self::LEAST_USED_DEGRADATION_DPF => &[Load, LoadDegradation, LoadDpf, Distance],
            _ => return None,
        })
    }

    /// True where the policy looks at load (bit 30, RFC 5356 §7.1): a change is told at once.
    pub const fn is_adaptive(self) -> bool {
        self.0 & 0x4000_0000 != 0
            || matches!(
                self,
                Self::RANDOMIZED_PRIORITY_LEAST_USED
                    | Self::RANDOMIZED_LEAST_USED_DEGRADATION
                    | Self::PRIORITY_LEAST_USED_DEGRADATION
                    | Self::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION
                    | Self::LEAST_USED_DPF
                    | Self::LEAST_USED_DEGRADATION_DPF
            )
    }
}

const FIELDS_MAX: usize = 4;

/// A member selection policy and what one element gives it (RFC 5354 §3.8, 5356).
///
/// A policy that is not known is kept as octets, so that it goes out as it came in.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0x8           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// |                          Policy Type                          |
/// +---------------------------------------------------------------+
/// :            32-bit fields, see PolicyType::fields              :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Policy(Stored);

/// A type, and what follows it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Stored {
    /// A type that is known; fields that it does not have are 0.
    Known(PolicyType, [u32; FIELDS_MAX]),
    Unknown(PolicyType, Box<[u8]>),
}

impl Policy {
    /// A known policy with its fields in wire order; `None` where the type is not known or the
    /// number of values is wrong.
    pub fn new(policy_type: PolicyType, fields: &[u32]) -> Option<Self> {
        let known = policy_type.fields()?;
        let mut values = [0; FIELDS_MAX];
        values.get_mut(..fields.len())?.copy_from_slice(fields);
        (known.len() == fields.len()).then_some(Self(Stored::Known(policy_type, values)))
    }

    /// A policy with every field 0; unknown types have none.
    pub fn of_type(policy_type: PolicyType) -> Self {
        Self(match policy_type.fields() {
            Some(_) => Stored::Known(policy_type, [0; FIELDS_MAX]),
            None => Stored::Unknown(policy_type, Box::default()),
        })
    }

    /// Round robin, the policy that everyone must have (RFC 5356 §4.1).
    pub fn round_robin() -> Self {
        Self::of_type(PolicyType::ROUND_ROBIN)
    }

    /// Least used with the element's load (RFC 5356 §5.1).
    pub fn least_used(load: Load) -> Self {
        Self::of_type(PolicyType::LEAST_USED).with(PolicyField::Load, load.0)
    }

    /// The type: what makes two policies the same.
    pub fn policy_type(&self) -> PolicyType {
        let Self(Stored::Known(policy_type, _) | Stored::Unknown(policy_type, _)) = self;
        *policy_type
    }

    /// The value of a field, `None` where this policy does not have it.
    pub fn get(&self, field: PolicyField) -> Option<u32> {
        self.fields().find_map(|(name, value)| (name == field).then_some(value))
    }

    /// This policy with another value of a field; unchanged where it does not have the field.
    #[must_use]
    pub fn with(mut self, field: PolicyField, value: u32) -> Self {
        if let Stored::Known(policy_type, values) = &mut self.0 {
            let names = policy_type.fields().unwrap_or_default();
            if let Some(row) = names.iter().position(|&name| name == field) {
                values[row] = value;
            }
        }
        self
    }

    /// The fields and their values, in wire order.
    pub fn fields(&self) -> impl Iterator<Item = (PolicyField, u32)> + '_ {
        let (names, values) = match &self.0 {
            Stored::Known(policy_type, values) => (policy_type.fields(), values.as_slice()),
            Stored::Unknown(..) => (None, &[][..]),
        };
        names.unwrap_or_default().iter().copied().zip(values.iter().copied())
    }

    /// The octets behind the type of a policy that is not known.
    pub fn unknown(&self) -> &[u8] {
        match &self.0 {
            Stored::Known(..) => &[],
            Stored::Unknown(_, octets) => octets,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy_type())?;
        for (field, value) in self.fields() {
            if field.is_fraction() {
                write!(f, ":{:.4}", Load(value).fraction())?;
            } else {
                write!(f, ":{value}")?;
            }
        }
        Ok(())
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no policy: {why}")]
pub struct PolicyParseError {
    text: String,
    why: String,
}

/// `NAME[:PARAMETER…]`, as in `round-robin`, `weighted-round-robin:3`, `least-used-degradation:0.1`.
///
/// The parameters are the fields in wire order: all of them, or those that an operator sets, which
/// is all but load and distance. Fractions are between 0 and 1.
impl FromStr for Policy {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> Result<Self, PolicyParseError> {
        let error = |why: String| PolicyParseError { text: text.into(), why };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let parameters: Vec<&str> = parts.collect();
        let known = PolicyType::ASSIGNED.iter().copied();
        let Some(policy_type) = known.clone().find(|known| known.label() == Some(name)) else {
            let names: Vec<&str> = known.filter_map(PolicyType::label).collect();
            return Err(error(format!("the policies are {}", names.join(", "))));
        };
        let all = policy_type.fields().unwrap_or_default();
        let set: Vec<PolicyField> = all.iter().copied().filter(|field| field.is_set()).collect();
        let fields = match parameters.len() {
            count if count == set.len() => set.as_slice(),
            count if count == all.len() => all,
            _ => {
                let names: Vec<&str> = set.iter().map(|field| field.label()).collect();
                let why = match names.as_slice() {
                    [] => "it takes no parameter".into(),
                    names => format!("write {name}:{}", names.join(":").to_uppercase()),
                };
                return Err(error(why));
            }
        };
        let mut policy = Self::of_type(policy_type);
        for (field, parameter) in fields.iter().zip(parameters) {
            let Some(value) = field.parse(parameter) else {
                let range = if field.is_fraction() { "0 to 1" } else { "0 to 4294967295" };
                return Err(error(format!("{} is {range}, not `{parameter}`", field.label())));
            };
            policy = policy.with(*field, value);
        }
        Ok(policy)
    }
}

impl Codec for Policy {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::POLICY)?;
        let policy_type = PolicyType(value.u32("Policy Type")?);
        let Some(fields) = policy_type.fields() else {
            // RFC 5356 §7.1: neither is a policy, with or without the adaptive bit.
            if matches!(policy_type.0, 0 | 0x4000_0000) {
                let kind = DecodeErrorKind::Value { field: "Policy Type", value: policy_type.0 };
                return Err(value.error_before(HEADER_LEN, kind));
            }
            let unknown = value.remainder().into();
            return Ok(Self(Stored::Unknown(policy_type, unknown)));
        };
        let mut values = [0; FIELDS_MAX];
        for (slot, field) in values.iter_mut().zip(fields) {
            *slot = value.u32(field.label())?;
        }
        value.finish_value("Pool Member Selection Policy")?;
        Ok(Self(Stored::Known(policy_type, values)))
    }

    fn encoded_len(&self) -> usize {
        let (fields, unknown) = (4 * self.fields().count(), self.unknown().len());
        HEADER_LEN + 4 + fields + unknown + padding_len(unknown)
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::POLICY, |w| match &self.0 {
            Stored::Known(policy_type, values) => {
                let fields = policy_type.fields().unwrap_or_default();
                match (fields, *values) {
                    ([], _) => w.u32(policy_type.0),
                    ([_], [first, ..]) => w.u32_pair(policy_type.0, first),
                    (fields, values) => {
                        w.u32(policy_type.0);
                        values.iter().zip(fields).for_each(|(value, _)| w.u32(*value));
                    }
                }
            }
            Stored::Unknown(policy_type, octets) => {
                w.u32(policy_type.0);
                w.slice(octets);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_as_people_write_them() {
        let half = Load::from_fraction(0.5).0;
        for (text, fields) in [
            ("round-robin", &[][..]),
            ("weighted-round-robin:3", &[3]),
            ("least-used", &[0]),
            ("least-used:0.5", &[half]),
            ("least-used-degradation:0.5", &[0, half]),
            ("least-used-degradation:1:0.5", &[u32::MAX, half]),
            ("weighted-random-dpf:7:0.5", &[7, half, 0]),
        ] {
            let policy: Policy = text.parse().unwrap();
            let values: Vec<u32> = policy.fields().map(|(_, value)| value).collect();
            assert_eq!(values, fields, "{text}");
        }
    }

    #[test]
    fn what_is_no_policy_is_told_what_is() {
        for (text, why) in [
            ("fair", "the policies are round-robin, "),
            ("round-robin:1", "it takes no parameter"),
            ("priority", "write priority:PRIORITY"),
            ("priority:high", "priority is 0 to 4294967295, not `high`"),
            ("least-used:2", "load is 0 to 1, not `2`"),
        ] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
