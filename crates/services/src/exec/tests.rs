use proptest::prelude::*;

use super::job::{Client, Output, Progress, Server, Step, WINDOW};
use super::packet::{CHUNK_MAX, Outcome, Packet, Refusal, Stream};
use crate::packet::hex;

fn run(job: u64) -> Packet {
    Packet::Run { job, credit: WINDOW, name: "sum".into() }
}

#[test]
fn each_message_has_its_octets() {
    let cases = [
        (run(7), "01000013 0000000000000007 00040000 73756d"),
        (Packet::Accepted { credit: 65536 }, "02000008 00010000"),
        (Packet::Refused { reason: Refusal::Busy, text: "no".into() }, "03000007 01 6e6f"),
        (Packet::Input(b"1 2".to_vec()), "04000007 312032"),
        (Packet::InputEnd, "05000004"),
        (Packet::Output(Stream::Err, b"!".to_vec()), "06000006 02 21"),
        (Packet::Credit(1), "07000008 00000001"),
        (
            Packet::Done { job: 7, outcome: Outcome::Exited(-1) },
            "08000011 0000000000000007 01 ffffffff",
        ),
        (
            Packet::Done { job: 7, outcome: Outcome::Signalled(9) },
            "08000011 0000000000000007 02 00000009",
        ),
        (
            Packet::Done { job: 7, outcome: Outcome::TimeLimit },
            "08000011 0000000000000007 03 00000000",
        ),
        (
            Packet::Done { job: 7, outcome: Outcome::OutputLimit },
            "08000011 0000000000000007 04 00000000",
        ),
    ];
    for (packet, octets) in cases {
        assert_eq!(packet.encode(), hex(octets), "{packet:?}");
        assert_eq!(Packet::decode(&hex(octets)), Ok(packet));
    }
}

#[test]
fn messages_that_make_no_sense_are_refused() {
    for octets in [
        "01000010 0000000000000007 00040000",
        "03000005 09",
        "06000005 03",
        "08000011 0000000000000007 05 00000000",
        "05000005 00",
        "09000004",
        "",
    ] {
        assert!(Packet::decode(&hex(octets)).is_err(), "{octets}");
    }
    let long = Packet::Run { job: 1, credit: 1, name: "x".repeat(300) };
    let Ok(Packet::Run { name, .. }) = Packet::decode(&long.encode()) else { panic!() };
    assert_eq!(name.len(), 255);
}

#[test]
fn the_text_of_a_refusal_does_nothing_to_a_terminal() {
    let text = "\u{1b}]0;title\u{7}no\r\u{9b}2J".to_owned();
    let refused = Packet::Refused { reason: Refusal::Broken, text }.encode();
    let text = "\u{fffd}]0;title\u{fffd}no\u{fffd}\u{fffd}2J".to_owned();
    assert_eq!(Packet::decode(&refused), Ok(Packet::Refused { reason: Refusal::Broken, text }));
}

fn running(output_max: u64) -> Server {
    let mut server = Server::new(output_max);
    assert_eq!(server.receive(&run(7).encode()), [Step::Start("sum".into())]);
    assert_eq!(server.started(), Step::Send(Packet::Accepted { credit: WINDOW }));
    server
}

#[test]
fn a_job_from_its_input_to_its_exit_code() {
    let mut server = running(100);
    let (mut client, _) = Client::new(7, "sum", b"1 2", 100);
    assert_eq!(client.poll(), None, "not before it is accepted");
    assert_eq!(client.receive(&Packet::Accepted { credit: 2 }.encode()), Progress::Runs);
    let input = client.poll().unwrap();
    assert_eq!(server.receive(&input.encode()), [Step::Feed(b"1 ".to_vec())]);
    assert_eq!(client.poll(), None, "no credit");
    client.receive(&Packet::Credit(9).encode());
    let rest = client.poll().unwrap();
    assert_eq!(server.receive(&rest.encode()), [Step::Feed(b"2".to_vec())]);
    let end = client.poll().unwrap();
    assert_eq!(server.receive(&end.encode()), [Step::CloseInput]);
    assert_eq!(client.poll(), None);
    for (stream, text) in [(Stream::Out, "3"), (Stream::Err, "?"), (Stream::Out, "\n")] {
        let [Step::Send(packet)] = &server.output(stream, text.into())[..] else { panic!() };
        assert_eq!(client.receive(&packet.encode()), Progress::Runs);
    }
    let Some(Step::Send(done)) = server.ended(Outcome::Exited(0)) else { panic!() };
    let output = Output { out: b"3\n".to_vec(), err: b"?".to_vec() };
    assert_eq!(client.receive(&done.encode()), Progress::Done(Outcome::Exited(0), output));
    // What crossed the end.
    assert_eq!(server.receive(&Packet::Credit(1).encode()), []);
}

#[test]
fn a_command_that_says_too_much_is_killed() {
    let mut server = running(10);
    assert_eq!(server.output(Stream::Out, vec![0; 10]).len(), 1);
    assert_eq!(server.output(Stream::Err, vec![0; 1]), [Step::Kill]);
    assert_eq!((server.room(), server.time_over()), (0, vec![]));
    let done = Packet::Done { job: 7, outcome: Outcome::OutputLimit };
    assert_eq!(server.ended(Outcome::Signalled(9)), Some(Step::Send(done)));
}

#[test]
fn a_command_that_never_ends_is_killed() {
    let mut server = running(10);
    assert_eq!(server.time_over(), [Step::Kill]);
    let done = Packet::Done { job: 7, outcome: Outcome::TimeLimit };
    assert_eq!(server.ended(Outcome::Signalled(9)), Some(Step::Send(done)));
    assert_eq!(server.ended(Outcome::Signalled(9)), None);
}

#[test]
fn output_waits_for_credit() {
    let mut server = running(u64::MAX);
    let mut said = 0;
    while server.room() > 0 {
        said += server.room();
        server.output(Stream::Out, vec![0; server.room()]);
    }
    assert_eq!(said, WINDOW as usize);
    server.receive(&Packet::Credit(5).encode());
    assert_eq!(server.room(), 5);
}

#[test]
fn a_client_gives_credit_as_it_takes_and_no_more_than_it_can_keep() {
    let (mut client, _) = Client::new(1, "sum", b"", CHUNK_MAX * 5);
    client.receive(&Packet::Accepted { credit: 1 }.encode());
    assert_eq!(client.poll(), Some(Packet::InputEnd));
    let chunk = Packet::Output(Stream::Out, vec![0; CHUNK_MAX]).encode();
    for _ in 0..4 {
        assert_eq!((client.poll(), client.receive(&chunk)), (None, Progress::Runs));
    }
    assert_eq!(client.poll(), Some(Packet::Credit(WINDOW / 2)));
    assert_eq!(client.receive(&chunk), Progress::Runs);
    assert_eq!(client.receive(&chunk), Progress::Overflow);
}

#[test]
fn input_without_credit_ends_the_session() {
    let mut server = running(1);
    let chunk = Packet::Input(vec![0; CHUNK_MAX]).encode();
    for _ in 0..8 {
        assert!(matches!(server.receive(&chunk)[..], [Step::Feed(_)]));
    }
    assert_eq!(server.taken(CHUNK_MAX * 3), None);
    assert_eq!(server.taken(CHUNK_MAX), Some(Step::Send(Packet::Credit(WINDOW / 2))));
    for _ in 0..4 {
        assert!(matches!(server.receive(&chunk)[..], [Step::Feed(_)]));
    }
    assert_eq!(server.receive(&chunk), [Step::Abort]);
}

#[test]
fn what_does_not_belong_here_ends_the_session() {
    assert_eq!(Server::new(1).receive(&Packet::Input(vec![]).encode()), [Step::Abort]);
    assert_eq!(Server::new(1).receive(b"garbage"), [Step::Abort]);
    assert_eq!(running(1).receive(&run(8).encode()), [Step::Abort]);
    let mut server = running(1);
    server.receive(&Packet::InputEnd.encode());
    assert_eq!(server.receive(&Packet::Input(vec![1]).encode()), [Step::Abort]);
    let (mut client, _) = Client::new(1, "sum", b"", 1);
    let of_another = Packet::Done { job: 2, outcome: Outcome::Exited(0) };
    assert!(matches!(client.receive(&of_another.encode()), Progress::Broken(_)));
}

#[test]
fn a_refusal_reaches_the_client() {
    let mut server = Server::new(1);
    server.receive(&run(7).encode());
    let Step::Send(refusal) = server.refuse(Refusal::Unknown, "no such command") else { panic!() };
    let (mut client, _) = Client::new(7, "sum", b"", 1);
    let refused = Progress::Refused(Refusal::Unknown, "no such command".into());
    assert_eq!(client.receive(&refusal.encode()), refused);
    assert_eq!(server.receive(&Packet::InputEnd.encode()), []);
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..40), kind in 0_u8..10) {
        let mut octets = octets;
        let length = u8::try_from(octets.len()).unwrap();
        if let [first, _, high, low, ..] = &mut octets[..] {
            (*first, *high, *low) = (kind, 0, length);
        }
        if let Ok(packet) = Packet::decode(&octets) {
            prop_assert!(Packet::decode(&packet.encode()).is_ok());
        }
        running(1).receive(&octets);
        let (mut client, _) = Client::new(1, "sum", b"input", 1);
        client.receive(&octets);
        while client.poll().is_some() {}
    }
}
