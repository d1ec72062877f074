//! A TCP connection to a registrar's ASAP port.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::octets::{digits, handle, message, resolution, unknown_pool};
use crate::programs::{PATIENCE, Registrar};

/// The identifier of the registrars of these tests.
pub(super) const REGISTRAR: u32 = 0x11;

/// A registrar that asks its elements only once an hour whether they live, so that what it sends is
/// answers.
pub(super) fn registrar() -> Registrar {
    registrar_with("")
}

/// The same, with more lines in its configuration file.
pub(super) fn registrar_with(configuration: &str) -> Registrar {
    configured(&format!("timing.keep_alive_interval = '1h'\n{configuration}"))
}

/// A registrar with the default interval between keep-alives and much patience.
pub(super) fn asking_registrar() -> Registrar {
    configured("timing = { keep_alive_timeout_floor = '1min', keep_alive_timeout_cap = '1min' }")
}

/// A registrar with the default timers.
pub(super) fn default_registrar() -> Registrar {
    configured("")
}

fn configured(text: &str) -> Registrar {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.toml");
    std::fs::write(&path, text).unwrap();
    let asap = ["--asap", "tcp://127.0.0.1:0", "--asap", "sctp+udp://127.0.0.1:0"];
    let config = ["--id", "0x11", "--config", path.to_str().unwrap()];
    Registrar::with(&[&asap[..], &config].concat())
}

/// A connection.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn to(registrar: &Registrar) -> Self {
        Self::at(registrar.tcp())
    }

    pub(super) fn at(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(super) fn say(&mut self, octets: &[u8]) {
        self.0.write_all(octets).unwrap();
    }

    /// As [`Self::say`]; the registrar may have closed already.
    pub(super) fn say_in_vain(&mut self, octets: &[u8]) {
        let _ = self.0.write_all(octets);
    }

    /// Sends as much of this as the registrar takes without waiting.
    pub(super) fn stuff(&mut self, octets: &[u8]) {
        self.0.set_nonblocking(true).unwrap();
        let _ = self.0.write(octets);
        self.0.set_nonblocking(false).unwrap();
    }

    /// The next message with its padding; `None` at the end of the connection.
    pub(super) fn message(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![0; 4];
        match self.0.read_exact(&mut octets) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => return None,
            Ok(()) => {}
        }
        let length = usize::from(u16::from_be_bytes([octets[2], octets[3]]));
        octets.resize(length.next_multiple_of(4), 0);
        self.0.read_exact(&mut octets[4..]).unwrap();
        Some(octets)
    }

    /// The next message but keep-alives, which are answered.
    pub(super) fn answer(&mut self) -> Vec<u8> {
        loop {
            let octets = self.message().unwrap();
            if octets[0] != 7 {
                return octets;
            }
            // All but the registrar's identifier goes back.
            self.say(&message(8, 0, &[&octets[8..]]));
        }
    }

    /// The next message is a keep-alive; it is not answered.
    pub(super) fn keep_alive(&mut self) -> Vec<u8> {
        let octets = self.message().unwrap();
        assert_eq!(octets[0], 7, "{}", digits(&octets));
        octets
    }

    /// Sends a request, and compares the answer octet by octet.
    #[track_caller]
    pub(super) fn asks(&mut self, request: &[u8], answer: &[u8]) {
        self.say(request);
        self.hears(answer);
    }

    #[track_caller]
    pub(super) fn hears(&mut self, expected: &[u8]) {
        assert_eq!(digits(&self.answer()), digits(expected));
    }

    /// Nothing was answered to what was said so far: the next answer is the one to this.
    #[track_caller]
    pub(super) fn hears_nothing(&mut self) {
        let nobody = handle(b"nobody is here");
        self.asks(&resolution(&nobody), &unknown_pool(&nobody));
    }

    /// Sends no more, and goes on hearing.
    pub(super) fn hush(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// The registrar has ended this connection, or does now.
    pub(super) fn is_ended(&mut self) -> bool {
        while self.message().is_some() {}
        true
    }
}
