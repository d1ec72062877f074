//! The lines of standard input, in pieces that any transport takes, until they have their answers.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

use anyhow::bail;
use tokio::sync::mpsc;

/// Octets of a piece at most: a message over every transport.
const PIECE_MAX: usize = 32 << 10;
/// Octets of a line at most: it is kept until it has its answer.
pub(super) const LINE_MAX: usize = 64 << 20;
/// Lines that wait for their answers: so many are kept to be sent again.
const UNANSWERED_MAX: usize = 10_000;
/// And so many octets, so that neither side has to keep more for the other than it is ready to.
const UNANSWERED_OCTETS_MAX: usize = 1 << 20;

/// A part of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    octets: Vec<u8>,
    /// It is the last one of its line.
    ends_line: bool,
}

/// What has no answer yet, oldest first; the first `sent` pieces are on their way.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pieces: VecDeque<Piece>,
    sent: usize,
    octets: usize,
    /// Octets of the line that has not ended.
    open: usize,
    /// Lines so far, for error messages.
    count: u64,
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// True where more can be kept. A line that has begun is taken to its end: only then can there
    /// be an answer.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.pieces.len() < UNANSWERED_MAX && self.octets < UNANSWERED_OCTETS_MAX;
        has_room || self.open > 0
    }

    /// Adds the next piece; an error where its line is too long.
    pub(super) fn push(&mut self, piece: Piece) -> anyhow::Result<()> {
        self.open += piece.octets.len();
        if self.open > LINE_MAX {
            bail!("line {} has more than {LINE_MAX} octets", self.count + 1);
        }
        if piece.ends_line {
            self.open = 0;
            self.count += 1;
        }
        self.octets += piece.octets.len();
        self.pieces.push_back(piece);
        Ok(())
    }

    /// The next piece to be sent.
    pub(super) fn unsent(&self) -> Option<&[u8]> {
        self.pieces.get(self.sent).map(|piece| &*piece.octets)
    }

    /// It is on its way.
    pub(super) fn sent(&mut self) {
        self.sent += 1;
    }

    /// True where something is on its way that has no answer.
    pub(super) fn has_sent(&self) -> bool {
        self.sent > 0
    }

    /// Another server has to be asked all of it.
    pub(super) fn send_again(&mut self) {
        self.sent = 0;
    }

    /// So many lines have their answers; how many of these answers were to none that is kept.
    pub(super) fn answered_lines(&mut self, mut count: usize) -> usize {
        while count > 0
            && let Some(piece) = self.take()
        {
            count -= usize::from(piece.ends_line);
        }
        count
    }

    /// So many messages have their answers; how many of these answers were to none that is kept.
    pub(super) fn answered_messages(&mut self, mut count: usize) -> usize {
        while count > 0 && self.take().is_some() {
            count -= 1;
        }
        count
    }

    /// Forgets what is on its way: how many lines end in that.
    pub(super) fn forget_sent(&mut self) -> usize {
        let mut count = 0;
        while let Some(piece) = self.take() {
            count += usize::from(piece.ends_line);
        }
        count
    }

    /// The oldest piece that is on its way.
    fn take(&mut self) -> Option<Piece> {
        self.sent = self.sent.checked_sub(1)?;
        let piece = self.pieces.pop_front()?;
        self.octets -= piece.octets.len();
        Some(piece)
    }
}

/// Reads the next piece, with its line end; `None` at the end.
fn read_piece(input: &mut impl BufRead) -> io::Result<Option<Piece>> {
    let mut octets = Vec::new();
    input.by_ref().take(PIECE_MAX as u64).read_until(b'\n', &mut octets)?;
    if octets.is_empty() {
        return Ok(None);
    }
    let is_whole = octets.ends_with(b"\n") || octets.len() < PIECE_MAX;
    let ends_line = is_whole || input.fill_buf()?.is_empty();
    Ok(Some(Piece { octets, ends_line }))
}

/// The lines of standard input, each with its line end. A thread waits for them, since standard
/// input cannot be waited for in another way everywhere.
pub(super) fn lines_of_stdin() -> mpsc::Receiver<io::Result<Piece>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(piece) = read_piece(&mut stdin).transpose() {
            let is_last = piece.is_err();
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Piece> {
        let mut input = text;
        std::iter::from_fn(|| read_piece(&mut input).unwrap()).collect()
    }

    fn lines(text: &[u8]) -> Lines {
        let mut lines = Lines::default();
        for piece in read(text) {
            lines.push(piece).unwrap();
            lines.sent();
        }
        lines
    }

    #[test]
    fn lines_come_in_pieces_and_the_last_one_ends_with_the_input() {
        let ends = |text: &[u8]| -> Vec<(usize, bool)> {
            read(text).iter().map(|piece| (piece.octets.len(), piece.ends_line)).collect()
        };
        assert_eq!(ends(b"one\n\ntwo"), [(4, true), (1, true), (3, true)]);
        let long = vec![b'x'; PIECE_MAX + 1];
        assert_eq!(ends(&long), [(PIECE_MAX, false), (1, true)]);
        assert_eq!(ends(&long[1..]), [(PIECE_MAX, true)]);
    }

    #[test]
    fn a_line_has_its_answer_whatever_pieces_it_is_in() {
        let long = [&[b'x'; 3 * PIECE_MAX][..], b"\nshort\n"].concat();
        let mut whole = lines(&long);
        assert_eq!(whole.answered_lines(1), 0);
        assert_eq!(whole.unsent(), None);
        assert_eq!((whole.pieces.len(), whole.octets), (1, 6));
        // More answers than there are questions.
        assert_eq!(whole.answered_lines(3), 2);
        assert!(whole.is_empty() && !whole.has_sent());
        let mut pieces = lines(&long);
        assert_eq!(pieces.answered_messages(4), 0);
        assert_eq!(pieces.pieces.len(), 1);
        assert_eq!(lines(&long).forget_sent(), 2);
    }

    #[test]
    fn a_line_that_has_begun_is_taken_to_its_end_and_no_further() {
        let mut lines = Lines::default();
        let piece = |ends_line| Piece { octets: vec![b'x'; PIECE_MAX], ends_line };
        for _ in 0..LINE_MAX / PIECE_MAX {
            assert!(lines.has_room());
            lines.push(piece(false)).unwrap();
        }
        let error = lines.push(piece(true)).unwrap_err();
        assert_eq!(error.to_string(), "line 1 has more than 67108864 octets");
        let mut lines = Lines::default();
        while lines.has_room() {
            lines.push(piece(true)).unwrap();
        }
        assert_eq!(lines.octets, UNANSWERED_OCTETS_MAX);
    }

    #[test]
    fn after_a_failover_all_that_has_no_answer_is_sent_again() {
        let mut lines = lines(b"one\ntwo\n");
        lines.answered_lines(1);
        lines.send_again();
        assert_eq!(lines.unsent(), Some(&b"two\n"[..]));
    }
}
