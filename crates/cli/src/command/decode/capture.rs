//! Frames of pcap and pcapng files.

use std::io::{Cursor, Read};

use anyhow::anyhow;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

use super::input::Sink;
use super::packet::Dissector;

/// Longest frame, in octets. Snapshot lengths go up to 256 KiB.
const FRAME_MAX: usize = 1 << 20;

/// So many interfaces of a pcapng file are told apart.
const INTERFACES_MAX: usize = 4096;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// From 1.
    pub(super) number: u64,
    /// Seconds since 1970.
    pub(super) time_s: Option<f64>,
    pub(super) link: Linktype,
    pub(super) octets: &'a [u8],
}

/// True where a file starts like a capture: the magic numbers of pcap with micro- and nanoseconds,
/// and of pcapng.
pub(super) fn is_capture(start: &[u8]) -> bool {
    matches!(
        start,
        [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x0a, 0x0d, 0x0d, 0x0a]
    )
}

/// Hands every message of a capture to `sink`. The first octets of the file are in `start`.
pub(super) fn read(
    mut start: Vec<u8>,
    mut file: impl Read + Send,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    // The reader of captures wants the whole file header in one piece.
    (&mut file).take(PCAP_HEADER_LEN - start.len() as u64).read_to_end(&mut start)?;
    let missing = section_header_len(&start).saturating_sub(start.len() as u64);
    (&mut file).take(missing).read_to_end(&mut start)?;
    let file = Cursor::new(start).chain(file);

    let mut dissector = Dissector::default();
    let result =
        frames(file, &mut |frame| dissector.frame(frame).into_iter().try_for_each(&mut *sink));
    dissector.finish().into_iter().try_for_each(sink)?;
    result
}

/// Octets of the header of a pcap file.
const PCAP_HEADER_LEN: u64 = 24;

/// Octets of the first block of a pcapng file, as far as they are worth reading; 0 for others.
fn section_header_len(start: &[u8]) -> u64 {
    let length = match *start {
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, 0x1a, ..] => u32::from_be_bytes([a, b, c, d]),
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    u64::from(length).min(FRAME_MAX as u64 / 2)
}

fn frames(
    file: impl Read + Send,
    each: &mut dyn FnMut(Frame<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = create_reader(FRAME_MAX, file).map_err(|error| broken(&error, 0))?;
    let mut state = State::default();
    let mut available = None;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let Some(frame) = state.block(block) {
                    each(frame)?;
                }
                reader.consume(length);
                available = None;
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                // Where reading on brings nothing, it never will.
                let before = available.replace(reader.data().len());
                if before == available && reader.reader_exhausted() {
                    return Err(broken(&PcapError::<&[u8]>::UnexpectedEof, state.frames));
                }
                reader.refill().map_err(|error| broken(&error, 0))?;
                if before == available && reader.data().len() == FRAME_MAX {
                    return Err(broken(&PcapError::<&[u8]>::BufferTooSmall, state.frames));
                }
            }
            Err(error) => return Err(broken(&error, state.frames)),
        }
    }
}

/// What to tell people of a capture that cannot be read on after so many frames.
fn broken<I>(error: &PcapError<I>, frames: u64) -> anyhow::Error {
    let what = match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => {
            "ends in the middle"
        }
        PcapError::BufferTooSmall => "claims more octets than any frame has",
        PcapError::ReadError => "cannot be read",
        _ => "is garbage",
    };
    match frames {
        0 => anyhow!("the start of the capture {what}"),
        _ => anyhow!("the capture {what} after frame {frames}"),
    }
}

/// What earlier blocks say about later ones.
#[derive(Debug, Default)]
struct State {
    /// Frames so far.
    frames: u64,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
    /// Time stamps per second, and seconds to add to them.
    resolution: Option<u64>,
    offset_s: i64,
}

impl State {
    fn block<'a>(&mut self, block: PcapBlockOwned<'a>) -> Option<Frame<'a>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                let (link, resolution) = (header.network, Some(resolution));
                self.interfaces = vec![Interface { link, resolution, offset_s: 0 }];
                None
            }
            PcapBlockOwned::Legacy(block) => {
                let interface = *self.interfaces.first()?;
                let fraction = f64::from(block.ts_usec) / interface.resolution? as f64;
                let time_s = Some(f64::from(block.ts_sec) + fraction);
                Some(self.frame(interface.link, time_s, block.data))
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    let (resolution, offset_s) = (block.ts_resolution(), block.ts_offset());
                    self.interfaces.push(Interface { link: block.linktype, resolution, offset_s });
                }
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let index = usize::try_from(block.if_id).ok()?;
                let interface = *self.interfaces.get(index)?;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let time_s = interface
                    .resolution
                    .map(|resolution| interface.offset_s as f64 + ticks as f64 / resolution as f64);
                let octets = block.data.get(..block.packet_data().len())?;
                Some(self.frame(interface.link, time_s, octets))
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                let interface = *self.interfaces.first()?;
                let octets = block.data.get(..block.packet_data().len())?;
                Some(self.frame(interface.link, None, octets))
            }
            PcapBlockOwned::NG(_) => None,
        }
    }

    fn frame<'a>(&mut self, link: Linktype, time_s: Option<f64>, octets: &'a [u8]) -> Frame<'a> {
        self.frames += 1;
        Frame { number: self.frames, time_s, link, octets }
    }
}
