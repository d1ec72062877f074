//! The reader and the writer of messages and parameters (RFC 5354 §2, §3).

use std::cell::RefCell;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::registry::{ParamType, Unrecognized};

/// Octets of a message header and of a parameter header.
pub const HEADER_LEN: usize = 4;

/// A type with one wire representation.
///
/// Law, held by a property test for every implementor: `T::decode(&t.encode()) == Ok(t)`.
pub trait Codec: Sized {
    /// Reads one value; leaves `r` behind its last octet.
    ///
    /// # Errors
    ///
    /// What is wrong with the octets, and where; `r` may stand anywhere.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Appends the value to `w`.
    fn encode(&self, w: &mut Writer);

    /// How many octets [`encode`](Self::encode) appends. Types that are counted often override
    /// this; the property tests hold them to it.
    fn encoded_len(&self) -> usize {
        self.to_octets().len()
    }

    /// Reads a value that takes the whole of `octets`.
    ///
    /// # Errors
    ///
    /// What is wrong with the octets, and where.
    fn from_octets(octets: &[u8]) -> Result<Self, DecodeError> {
        let skipped = Skipped::default();
        let mut r = Reader::new(octets, &skipped);
        let value = Self::decode(&mut r)?;
        r.finish()?;
        Ok(value)
    }

    /// The value as octets.
    fn to_octets(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode(&mut w);
        w.into_octets()
    }
}

/// Octets of all but long lists.
const USUAL_OCTETS: usize = 256;

/// Parameters of unknown types that were skipped on the way, as their types asked (RFC 5354 §3).
#[derive(Debug, Default)]
pub struct Skipped(RefCell<Vec<SkippedParam>>);

/// Where a skipped parameter stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SkippedParam {
    /// Its type.
    pub param_type: ParamType,
    /// Offset of its first octet from the first octet of the message.
    pub offset: u32,
}

impl Skipped {
    /// The parameters, in the order in which they came.
    pub fn into_vec(self) -> Vec<SkippedParam> {
        self.0.into_inner()
    }
}

/// A cursor over received octets that knows its place in the message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    /// Where the parameter starts that this reader is inside of.
    parameter: Option<usize>,
    skipped: &'a Skipped,
}

/// The header of a parameter: the whole of it, `length` octets, is there.
#[derive(Clone, Copy, Debug)]
struct Header {
    ty: ParamType,
    length: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first octet of a message.
    pub fn new(octets: &'a [u8], skipped: &'a Skipped) -> Self {
        Self { rest: octets, offset: 0, parameter: None, skipped }
    }

    /// Takes the next `N` octets; `field` names them in the error.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            let left = self.rest.len();
            return Err(self.error(DecodeErrorKind::Truncated { field, needed: N, left }));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*head)
    }

    /// Takes an octet.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    /// Takes a big-endian `u16`.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Takes a big-endian `u32`.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Takes everything that is left.
    pub fn remainder(&mut self) -> &'a [u8] {
        self.offset += self.rest.len();
        std::mem::take(&mut self.rest)
    }

    /// Cuts a message to its header's length: octets behind it may only be its padding
    /// (RFC 5354 §4). Returns type and flags. Peers differ in whether the length covers the padding
    /// of the last parameter; both forms are read.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`] without a whole header, [`DecodeErrorKind::Length`] where the
    /// length and the octets do not agree.
    pub fn message_header(&mut self) -> Result<(u8, u8), DecodeError> {
        let total = self.rest.len();
        let ty = self.u8("Message Type")?;
        let flags = self.u8("Message Flags")?;
        let length = usize::from(self.u16("Message Length")?);
        if !(HEADER_LEN..=total).contains(&length) || total - length > padding_len(length) {
            let kind = DecodeErrorKind::Length { field: "Message Length", length };
            return Err(DecodeError { kind, offset: 2, parameter: None });
        }
        self.rest = &self.rest[..length - HEADER_LEN];
        Ok((ty, flags))
    }

    /// Takes the parameter that must stand here.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Missing`] where nothing or another one stands here; what is wrong with
    /// its header; an unknown one that may not be skipped.
    pub fn param(&mut self, wanted: ParamType) -> Result<Self, DecodeError> {
        let missing = DecodeErrorKind::Missing(wanted);
        self.optional(wanted)?.ok_or_else(|| self.error(missing))
    }

    /// Takes the parameter that may stand here.
    ///
    /// # Errors
    ///
    /// What is wrong with its header; an unknown one that may not be skipped.
    pub fn optional(&mut self, wanted: ParamType) -> Result<Option<Self>, DecodeError> {
        match self.next_header()? {
            Some(header) if header.ty == wanted => Ok(Some(self.take(header))),
            _ => Ok(None),
        }
    }

    /// The type of the next known parameter, `None` at the end. Skips unknown ones as their types
    /// ask (RFC 5354 §3).
    ///
    /// # Errors
    ///
    /// What is wrong with a header; an unknown one that may not be skipped.
    pub fn next_type(&mut self) -> Result<Option<ParamType>, DecodeError> {
        Ok(self.next_header()?.map(|header| header.ty))
    }

    /// Takes one parameter and the padding behind it: its type and a reader of its value.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`] or [`DecodeErrorKind::Length`].
    pub fn take_param(&mut self) -> Result<(ParamType, Self), DecodeError> {
        let header = self.header()?;
        Ok((header.ty, self.take(header)))
    }

    /// The header of the next known parameter, which is not taken yet.
    fn next_header(&mut self) -> Result<Option<Header>, DecodeError> {
        while !self.is_empty() {
            let header = self.header()?;
            if header.ty.label().is_some() {
                return Ok(Some(header));
            }
            self.skip(header)?;
        }
        Ok(None)
    }

    /// The header that stands here, and no more than is there behind it.
    fn header(&self) -> Result<Header, DecodeError> {
        if let Some((&[t0, t1, l0, l1], _)) = self.rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if (HEADER_LEN..=self.rest.len()).contains(&length) {
                return Ok(Header { ty: ParamType(u16::from_be_bytes([t0, t1])), length });
            }
        }
        Err(self.bad_header())
    }

    /// What is wrong with the header that stands here.
    #[cold]
    fn bad_header(&self) -> DecodeError {
        let mut inside = Self { parameter: Some(self.offset), ..self.clone() };
        match inside.u16("Parameter Type").and_then(|_| inside.u16("Parameter Length")) {
            Err(truncated) => truncated,
            Ok(length) => {
                let length = length.into();
                let kind = DecodeErrorKind::Length { field: "Parameter Length", length };
                inside.error_before(2, kind)
            }
        }
    }

    /// Takes the parameter of the header that stands here, and the padding behind it.
    fn take(&mut self, Header { length, .. }: Header) -> Self {
        let start = self.offset;
        let (parameter, behind) = self.rest.split_at(length);
        let value = Self {
            rest: &parameter[HEADER_LEN..],
            offset: start + HEADER_LEN,
            parameter: Some(start),
            skipped: self.skipped,
        };
        // The receiver ignores the padding, and the last parameter may lack it.
        let padding = padding_len(length).min(behind.len());
        self.rest = &behind[padding..];
        self.offset = start + length + padding;
        value
    }

    /// Skips a parameter of an unknown type, if that is what its type asks for.
    fn skip(&mut self, header: Header) -> Result<(), DecodeError> {
        let asks = header.ty.unrecognized();
        if matches!(asks, Unrecognized::Discard | Unrecognized::DiscardAndReport) {
            return Err(self.error(DecodeErrorKind::Parameter(header.ty)));
        }
        let offset = u32::try_from(self.offset).unwrap_or(u32::MAX);
        self.skipped.0.borrow_mut().push(SkippedParam { param_type: header.ty, offset });
        self.take(header);
        Ok(())
    }

    /// How many parameters of at least `octets_min` octets the rest can hold: room for a list
    /// that takes no more memory than a small multiple of the message.
    pub fn room_for(&self, octets_min: usize) -> usize {
        self.rest.len() / octets_min
    }

    /// Octets between the first of the message and the next to be read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// True where no octet is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at this place.
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, offset: self.offset, parameter: self.parameter }
    }

    /// An error about the `len` octets just read.
    pub fn error_before(&self, len: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.offset - len, ..self.error(kind) }
    }

    /// Ends a sequence of parameters.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Unexpected`] where a known one is left over; an unknown one that may not
    /// be skipped.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        match self.next_type()? {
            Some(ty) => Err(self.error(DecodeErrorKind::Unexpected(ty))),
            None => Ok(()),
        }
    }

    /// Ends a value of fixed size.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Length`] at the parameter's length field, where octets are left over.
    pub fn finish_value(self, field: &'static str) -> Result<(), DecodeError> {
        if self.is_empty() {
            return Ok(());
        }
        let start = self.parameter.unwrap_or_default();
        let length = self.offset + self.rest.len() - start;
        let kind = DecodeErrorKind::Length { field, length };
        Err(DecodeError { kind, offset: start + 2, parameter: self.parameter })
    }
}

/// A growing message. Length fields are written when the value behind them is complete.
#[derive(Debug, Default)]
pub struct Writer {
    octets: Vec<u8>,
    /// How many of the last octets are the padding of a parameter. The length of what encloses a
    /// parameter does not cover the padding of its last one (RFC 5354 §2).
    padding: usize,
}

impl Writer {
    /// Starts a message, with room for all but long lists: growing costs more.
    pub fn new() -> Self {
        Self { octets: Vec::with_capacity(USUAL_OCTETS), padding: 0 }
    }

    /// Appends octets as they are.
    #[inline]
    pub fn slice(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.padding = 0;
    }

    /// Appends an octet.
    pub fn u8(&mut self, value: u8) {
        self.slice(&[value]);
    }

    /// Appends a big-endian `u16`.
    pub fn u16(&mut self, value: u16) {
        self.slice(&value.to_be_bytes());
    }

    /// Appends a big-endian `u32`.
    pub fn u32(&mut self, value: u32) {
        self.slice(&value.to_be_bytes());
    }

    /// Appends two big-endian `u32` at once.
    pub(crate) fn u32_pair(&mut self, first: u32, second: u32) {
        self.slice(&((u64::from(first) << 32) | u64::from(second)).to_be_bytes());
    }

    /// Appends one message: `value` writes the inside, the length follows from it.
    pub fn message(&mut self, ty: u8, flags: u8, value: impl FnOnce(&mut Self)) {
        let start = self.octets.len();
        self.slice(&[ty, flags, 0, 0]);
        value(self);
        self.finish_length(start);
    }

    /// Appends one parameter: `value` writes the inside, the length and the padding follow from it.
    ///
    /// A value that is longer than a 16-bit length can say is written whole, with the length
    /// `0xffff`. Types bound their parts at construction, so only lists can get there; who builds a
    /// list bounds it.
    #[inline]
    pub fn param(&mut self, ty: ParamType, value: impl FnOnce(&mut Self)) {
        let start = self.octets.len();
        self.u32(u32::from(ty.0) << 16);
        value(self);
        self.finish_length(start);
    }

    /// Appends what `value` writes, unless that makes more than `octets_max` octets in all. False
    /// where it does not fit; nothing was appended then.
    pub fn within(&mut self, octets_max: usize, value: impl FnOnce(&mut Self)) -> bool {
        let (len, padding) = (self.octets.len(), self.padding);
        value(self);
        let fits = self.octets.len() <= octets_max;
        if !fits {
            self.octets.truncate(len);
            self.padding = padding;
        }
        fits
    }

    /// Octets so far.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// True where nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The finished octets.
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }

    #[inline]
    fn finish_length(&mut self, start: usize) {
        let end = self.octets.len() - self.padding;
        let length = end - start;
        let field = u16::try_from(length).unwrap_or(u16::MAX);
        self.octets[start + 2..start + HEADER_LEN].copy_from_slice(&field.to_be_bytes());
        let padding = padding_len(length);
        if padding != self.padding {
            self.octets.resize(end + padding, 0);
            self.padding = padding;
        }
    }
}

/// Octets that bring `len` to a multiple of 4.
pub const fn padding_len(len: usize) -> usize {
    len.wrapping_neg() % 4
}
