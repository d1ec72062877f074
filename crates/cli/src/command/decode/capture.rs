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
    start: Vec<u8>,
    file: impl Read + Send,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let mut dissector = Dissector::default();
    let mut each = |frame: Frame<'_>| dissector.frame(frame).into_iter().try_for_each(&mut *sink);
    let result = frames(FRAME_MAX, start, file, &mut each);
    dissector.finish().into_iter().try_for_each(sink)?;
    result
}

/// Octets of the header of a pcap file.
const PCAP_HEADER_LEN: u64 = 24;

/// Octets of the first block of a pcapng file, as far as they are worth reading; 0 for others.
fn section_header_len(start: &[u8], frame_max: usize) -> u64 {
    let length = match *start {
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, 0x1a, ..] => u32::from_be_bytes([a, b, c, d]),
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    u64::from(length).min(frame_max as u64 / 2)
}

/// Calls `each` with every frame of at most about `frame_max` octets.
fn frames(
    frame_max: usize,
    mut start: Vec<u8>,
    mut file: impl Read + Send,
    each: &mut dyn FnMut(Frame<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // The reader of captures wants the whole file header in one piece.
    let missing = PCAP_HEADER_LEN.saturating_sub(start.len() as u64);
    (&mut file).take(missing).read_to_end(&mut start)?;
    let missing = section_header_len(&start, frame_max).saturating_sub(start.len() as u64);
    (&mut file).take(missing).read_to_end(&mut start)?;
    if (start.len() as u64) < section_header_len(&start, frame_max).max(PCAP_HEADER_LEN) {
        return Err(broken(&PcapError::<&[u8]>::UnexpectedEof, 0));
    }
    let file = Cursor::new(start).chain(file);
    let mut reader = create_reader(frame_max, file).map_err(|error| broken(&error, 0))?;
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
                if before == available && reader.data().len() == frame_max {
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

#[cfg(test)]
mod tests {
    use super::*;

    const PCAP: &[u8] = include_bytes!("../../../tests/data/g-creator.pcap");
    const PCAPNG: &[u8] = include_bytes!("../../../tests/data/g-creator.pcapng");

    /// How many frames there are before the end or the error.
    fn count(file: impl Read + Send) -> (u64, Result<(), String>) {
        let mut frames = 0;
        let result = super::frames(16_384, Vec::new(), file, &mut |frame| {
            frames += 1;
            assert_eq!(frame.number, frames);
            Ok(())
        });
        (frames, result.map_err(|error| format!("{error:#}")))
    }

    #[test]
    fn no_octet_that_lies_does_harm() {
        for whole in [PCAP, PCAPNG] {
            assert_eq!(count(whole), (50, Ok(())));
            for index in 0..400 {
                for octet in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut octets = whole.to_vec();
                    octets[index] = octet;
                    assert!(count(&octets[..]).0 <= 50);
                }
            }
        }
    }

    #[test]
    fn a_cut_is_between_frames_or_an_error() {
        for whole in [PCAP, PCAPNG] {
            for length in 0..1000 {
                let (frames, result) = count(&whole[..length]);
                assert!(frames < 50);
                let error = result.err().unwrap_or_default();
                let expected = match frames {
                    0 => "the start of the capture ends in the middle".to_owned(),
                    _ => format!("the capture ends in the middle after frame {frames}"),
                };
                assert!(error.is_empty() || error == expected, "{error}");
            }
        }
    }

    /// A capture that comes octet by octet.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn a_slow_pipe_is_read_to_its_end() {
        for whole in [PCAP, PCAPNG] {
            assert_eq!(count(Slow(whole)), (50, Ok(())));
        }
    }
}
