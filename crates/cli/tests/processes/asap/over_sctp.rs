//! The same over SCTP, where one message after another is told apart by the transport.

use rserpool_transport::userland::UserlandEndpoint;
use rserpool_transport::{Address, AssocId, Endpoint as _, Event, Options, Ppid};
use tokio::time::timeout;

use super::client::registrar;
use super::octets::{
    ECHO_POOL, PE_ID, ROUND_ROBIN, causes, digits, element, handle, hex, message, registered,
    registration, rejected, resolution, resolved, sctp, tlv, unknown_pool,
};
use crate::programs::{PATIENCE, Registrar};

/// An association with a registrar.
struct Association {
    endpoint: UserlandEndpoint,
    assoc: AssocId,
}

impl Association {
    async fn to(registrar: &Registrar) -> Self {
        let url: Address = registrar.url("sctp+udp").parse().unwrap();
        let mut endpoint = UserlandEndpoint::dialer(&Options::default()).unwrap();
        let assoc = endpoint.connect(&url.literal().unwrap()).unwrap();
        let mut association = Self { endpoint, assoc };
        assert!(matches!(association.event().await, Event::Up { .. }));
        association
    }

    async fn event(&mut self) -> Event {
        let next = std::future::poll_fn(|cx| self.endpoint.poll_event(cx));
        timeout(PATIENCE, next).await.unwrap()
    }

    fn say(&mut self, ppid: Ppid, octets: &[u8]) {
        self.endpoint.send(self.assoc, ppid, octets).unwrap();
    }

    async fn answer(&mut self) -> Vec<u8> {
        match self.event().await {
            Event::Message { ppid: Ppid::ASAP, octets, .. } => octets,
            other => panic!("{other:?}"),
        }
    }

    async fn asks(&mut self, request: &[u8], answer: &[u8]) {
        self.say(Ppid::ASAP, request);
        assert_eq!(digits(&self.answer().await), digits(answer));
    }

    async fn hears_nothing(&mut self) {
        let nobody = handle(b"nobody is here");
        self.asks(&resolution(&nobody), &unknown_pool(&nobody)).await;
    }
}

fn over_sctp(port: u16) -> Vec<u8> {
    sctp(port, 0, &[[127, 0, 0, 1]])
}

#[tokio::test]
async fn an_element_registers_over_sctp_and_is_listed() {
    let registrar = registrar();
    let mut association = Association::to(&registrar).await;
    let pool = hex(ECHO_POOL);
    let of = |id, home| element(id, home, 300, &[&over_sctp(7), &hex(ROUND_ROBIN)]);
    let request = registration(&pool, &of(0x1122_3344, 0));
    association.asks(&request, &hex("03000018 0009000c4563686f506f6f6c 000e000811223344")).await;
    let answer = resolved(&pool, &hex(ROUND_ROBIN), &[of(0x1122_3344, 0x11)]);
    association.asks(&resolution(&pool), &answer).await;
    association
        .asks(&registration(&pool, &of(0, 0)), &rejected(&pool, 0, 3, &tlv(14, &[0; 4])))
        .await;
}

#[tokio::test]
async fn after_garbage_the_next_message_of_the_same_association_works() {
    let registrar = registrar();
    let mut association = Association::to(&registrar).await;
    let pool = hex(ECHO_POOL);
    // Nothing that could be answered: no header, or another length than its header says.
    let silent: &[&[u8]] = &[
        &[5],
        &[5, 0, 0],
        &[0x1f, 0, 0, 4],
        &[0xff; 2],
        &message(0x0f, 0, &[b"abcd"]),
        &message(2, 0, &[&pool, &tlv(0x0123, b"abcd"), &hex(PE_ID)]),
    ];
    for octets in silent {
        association.say(Ppid::ASAP, octets);
        association.hears_nothing().await;
    }
    let answered: &[&[u8]] = &[
        &[5, 0, 0, 0],
        &[5, 0, 0, 3],
        &[5, 0, 0, 200],
        &[5, 0, 0xff, 0xff, 0, 9, 0, 12],
        &[&resolution(&pool)[..], &[0; 4]].concat(),
        &message(5, 0, &[&[0, 9, 0, 3]]),
        &message(5, 0, &[&[0, 9, 0xff, 0xff]]),
        &message(5, 0, &[&[0xff; 400]]),
        &message(0x5f, 0, &[b"abcd"]),
    ];
    for octets in answered {
        association.say(Ppid::ASAP, octets);
        let answer = association.answer().await;
        assert_eq!(answer[..2], [14, 0], "{} has the answer {}", digits(octets), digits(&answer));
        association.hears_nothing().await;
    }
    let request = registration(&pool, &element(1, 0, 300, &[&over_sctp(7), &hex(ROUND_ROBIN)]));
    association.asks(&request, &registered(&pool, 1)).await;
}

#[tokio::test]
async fn a_message_may_lack_the_padding_at_its_end() {
    let registrar = registrar();
    let mut association = Association::to(&registrar).await;
    let answer = hex("06000018  00090009 4563686f31000000  000c0008 00090004");
    association.asks(&hex("0500000d 00090009 4563686f31"), &answer).await;
    association.asks(&hex("0500000d 00090009 4563686f31000000"), &answer).await;
}

#[tokio::test]
async fn what_is_no_asap_is_dropped() {
    let registrar = registrar();
    let mut association = Association::to(&registrar).await;
    let pool = hex(ECHO_POOL);
    for ppid in [0, 7, 10, 12, 13, u32::MAX] {
        association.say(Ppid(ppid), &resolution(&pool));
    }
    association.hears_nothing().await;
}

#[tokio::test]
async fn an_unknown_parameter_is_returned_over_sctp() {
    let registrar = registrar();
    let mut association = Association::to(&registrar).await;
    let pool = hex(ECHO_POOL);
    let unknown = tlv(0xc123, b"abcd");
    association.asks(&message(5, 0, &[&pool, &unknown]), &unknown_pool(&pool)).await;
    let error = message(14, 0, &[&causes(&[(1, &unknown)])]);
    assert_eq!(digits(&association.answer().await), digits(&error));
}

#[tokio::test]
async fn the_end_of_an_association_is_the_end_of_its_elements() {
    let registrar = registrar();
    let mut ends = Association::to(&registrar).await;
    let mut user = Association::to(&registrar).await;
    let pool = hex(ECHO_POOL);
    let request = registration(&pool, &element(1, 0, 300, &[&over_sctp(7), &hex(ROUND_ROBIN)]));
    ends.asks(&request, &registered(&pool, 1)).await;
    ends.endpoint.close(ends.assoc);
    assert!(matches!(ends.event().await, Event::Down { .. }));
    user.asks(&resolution(&pool), &unknown_pool(&pool)).await;
}
