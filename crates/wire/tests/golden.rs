//! Octets written by hand from the RFC drawings, and the values that they mean.

use hex_literal::hex;
use rserpool_wire::{Message, Protocol};

#[test]
fn a_registration_is_what_the_drawing_says() {
    let octets = hex!(
        "01000038 0009000c4563686f506f6f6c 000a002811223344000000000000012c"
        "000400100007000100010008c000020a 0008000800000001"
    );
    let decoded = Message::decode(Protocol::Asap, &octets).unwrap();
    assert_eq!(decoded.message.encode(), octets);
}
