use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::generator::{Generator, Outgoing};
use super::packet::{Algorithm, Data, POINTS_MAX, Parameter};
use super::*;
use crate::packet::hex;

/// A picture that rsplib's client asked for, the first cookie of its server, and the beginning of
/// the first data: from a session between the two.
const PARAMETER: &str =
    "01 00 003c 000000c8 0000004a 000003e8 00000001 3ff295181c69db74 3fd22dd746e4719c
    3ff295181997813e 3fd22dd74f5b803e 4000000000000000";
const COOKIE: &str =
    "3c46472d5444313e 01000004 000000c8 0000004a 000003e8 00000001 3ff295181c69db74
    3fd22dd746e4719c 3ff295181997813e 3fd22dd74f5b803e 4000000000000000 00000000 00000000";
const FIRST_POINTS: &str = "0000008b 0000008b 00000089 00000086 00000086 00000086 00000086 00000086
    00000084";

fn seen() -> Parameter {
    Parameter::decode(&hex(PARAMETER)).unwrap()
}

fn small() -> Parameter {
    Parameter { width: 70, height: 50, iterations_max: 50, ..seen() }
}

#[test]
fn speaks_as_rsplib_does() {
    let parameter = seen();
    assert_eq!((parameter.width, parameter.height, parameter.iterations_max), (200, 74, 1000));
    assert_eq!(parameter.encode(), hex(PARAMETER));
    assert_eq!(parameter.cookie(0), hex(COOKIE));
    assert_eq!(Parameter::from_cookie(&hex(COOKIE)), Some((parameter, 0)));
    let mut cookie = hex(COOKIE);
    cookie[68..].copy_from_slice(&hex("00000007 00000003"));
    assert_eq!(Parameter::from_cookie(&cookie), Some((parameter, 607)));

    let data = Data::Points { x: 124, y: 1, iterations: vec![0x74, 0x75] };
    let octets = hex("02 00 0018 0000007c 00000001 00000002 00000074 00000075");
    assert_eq!(data.encode(), octets);
    assert_eq!(Data::decode(&octets), Ok(data));
    let end = hex("02 00 0010 ffffffff ffffffff 00000000");
    assert_eq!(Data::End.encode(), end);
    let other = hex("02 00 0010 ffffffff ffffffff ffffffff");
    assert_eq!((Data::decode(&end), Data::decode(&other)), (Ok(Data::End), Ok(Data::End)));
}

#[test]
fn comes_to_the_same_numbers_as_rsplib() {
    let points: Vec<u8> =
        compute::points(&seen(), 0, 9, || true).into_iter().flat_map(u32::to_be_bytes).collect();
    assert_eq!(points, hex(FIRST_POINTS));
    // Of another row, far in.
    assert_eq!(compute::points(&seen(), 40 * 200 + 100, 1, || true), [152]);
    assert_eq!(compute::points(&seen(), 14_799, 5, || true), [116]);
}

#[test]
fn higher_powers_are_those_of_the_square() {
    let square = Parameter { algorithm: Algorithm::MandelbrotN(2), ..small() };
    let count = 3500;
    let points = |parameter| compute::points(&parameter, 0, count, || true);
    assert_eq!(points(square), points(small()));
    // What rsplib's server found for z to the 17th, where rounding does not decide.
    let seen = Parameter {
        algorithm: Algorithm::MandelbrotN(17),
        first: ["bfc1daa96a752092", "3fefe8ed5ea2c9e1"].map(double),
        opposite: ["bfc1da9f4d5f4e1f", "3fefe8eb792eb26b"].map(double),
        ..seen()
    };
    let one = |x: u64, y: u64| compute::points(&seen, y * 200 + x, 1, || true)[0];
    assert_eq!(
        [one(0, 0), one(5, 3), one(100, 40), one(199, 73), one(50, 70)],
        [12, 12, 16, 12, 1000]
    );
}

fn double(digits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(digits, 16).unwrap())
}

/// Lets a generator work until it wants nothing more, or `steps` times.
fn run(generator: &mut Generator, now: Instant, steps: usize) -> Vec<Outgoing> {
    let mut sent = Vec::new();
    for _ in 0..steps {
        let Some(piece) = generator.piece() else { break };
        let iterations = compute::points(&piece.parameter, piece.from, piece.count, || true);
        sent.extend(generator.computed(now, iterations));
    }
    sent
}

/// The picture in what was sent; with holes where nothing came.
fn picture(parameter: &Parameter, sent: &[Outgoing]) -> Vec<Option<u32>> {
    let mut picture = vec![None; usize::try_from(parameter.points()).unwrap()];
    for outgoing in sent {
        let Outgoing::Message(octets) = outgoing else { continue };
        if let Data::Points { x, y, iterations } = Data::decode(octets).unwrap() {
            let start = (y * parameter.width + x) as usize;
            for (place, value) in picture[start..].iter_mut().zip(iterations) {
                *place = Some(value);
            }
        }
    }
    picture
}

fn whole(parameter: &Parameter) -> Vec<Option<u32>> {
    let count = usize::try_from(parameter.points()).unwrap();
    compute::points(parameter, 0, count, || true).into_iter().map(Some).collect()
}

#[test]
fn a_picture_is_sent_in_order_with_cookies_in_between() {
    let now = Instant::now();
    let mut generator = Generator::default();
    let first = generator.begin(now, &small().encode()).unwrap();
    assert_eq!(first, Outgoing::Cookie(small().cookie(0)));
    let sent = run(&mut generator, now, usize::MAX);
    assert_eq!(picture(&small(), &sent), whole(&small()));
    assert_eq!(sent.last(), Some(&Outgoing::Message(Data::End.encode())));
    // 3500 points are 11 messages; the cookie after ten of them covers these, and no more.
    assert_eq!(sent[10], Outgoing::Cookie(small().cookie(10 * POINTS_MAX as u64)));
    assert_eq!(sent.len(), 13);
    assert_eq!(generator.piece(), None);
}

#[test]
fn a_slow_picture_has_a_cookie_each_second() {
    let now = Instant::now();
    let mut generator = Generator::default();
    generator.begin(now, &small().encode()).unwrap();
    assert_eq!(generator.computed(now, vec![1]).len(), 1);
    let sent = generator.computed(now + Duration::from_secs(1), vec![1]);
    assert_eq!(sent[1], Outgoing::Cookie(small().cookie(2)));
}

#[test]
fn the_next_server_goes_on_and_does_not_begin_anew() {
    let now = Instant::now();
    let mut first = Generator::default();
    first.begin(now, &small().encode()).unwrap();
    let mut sent = run(&mut first, now, 3);
    let Some(Outgoing::Cookie(cookie)) = first.hand_over(now) else { panic!() };
    let mut second = Generator::default();
    second.resume(now, &cookie);
    assert_eq!(second.piece().unwrap().from, 3 * POINTS_MAX as u64);
    sent.extend(run(&mut second, now, usize::MAX));
    assert_eq!(picture(&small(), &sent), whole(&small()));
}

#[test]
fn a_cookie_at_the_end_is_answered_with_the_end() {
    let now = Instant::now();
    let mut generator = Generator::default();
    generator.resume(now, &small().cookie(3500));
    assert_eq!(run(&mut generator, now, 5), [Outgoing::Message(Data::End.encode())]);
}

#[test]
fn impossible_pictures_are_refused() {
    let now = Instant::now();
    let good = hex(PARAMETER);
    let with = |offset: usize, octets: &str| {
        let mut bad = good.clone();
        let octets = hex(octets);
        bad[offset..offset + octets.len()].copy_from_slice(&octets);
        bad
    };
    let bad = [
        with(4, "00000000"),
        with(8, "7fffffff"),
        with(12, "ffffffff"),
        with(16, "00000003"),
        with(20, "7ff8000000000000"),
        with(28, "7ff0000000000000"),
        [with(16, "00000002")[..52].to_vec(), hex("40f86a0000000000")].concat(),
        good[..40].to_vec(),
        [&good[..], &[0; 8]].concat(),
        Data::End.encode(),
    ];
    for octets in bad {
        let mut generator = Generator::default();
        assert!(generator.begin(now, &octets).is_err(), "{octets:x?}");
        assert_eq!(generator.piece(), None);
    }
    // Cookies of something else, or of no place in the picture.
    let mut outside = hex(COOKIE);
    outside[68..].copy_from_slice(&hex("000000c8 00000000"));
    let mut below = hex(COOKIE);
    below[68..].copy_from_slice(&hex("00000001 0000004a"));
    for cookie in [vec![], b"<FG-TD1>".to_vec(), hex(COOKIE)[..75].to_vec(), outside, below] {
        let mut generator = Generator::default();
        generator.resume(now, &cookie);
        assert_eq!(generator.piece(), None);
    }
}

#[test]
fn a_message_with_more_points_than_it_may_have_is_refused() {
    let mut octets = Data::Points { x: 0, y: 0, iterations: vec![0; POINTS_MAX] }.encode();
    assert!(Data::decode(&octets).is_ok());
    octets.extend([0; 4]);
    octets[2..4].copy_from_slice(&1316_u16.to_be_bytes());
    assert!(Data::decode(&octets).is_err());
    octets[12..16].copy_from_slice(&325_u32.to_be_bytes());
    assert!(Data::decode(&octets).is_err());
}

proptest! {
    #[test]
    fn any_octets_are_survived(
        octets in proptest::collection::vec(any::<u8>(), 0..90),
        kind in 1_u8..3,
    ) {
        let mut octets = octets;
        if let [first, _, high, low, ..] = &mut octets[..] {
            (*first, *high) = (kind, 0);
            *low = *low % 4 + 60;
        }
        let mut generator = Generator::default();
        let _ = generator.begin(Instant::now(), &octets);
        generator.resume(Instant::now(), &octets);
        generator.resume(Instant::now(), &[b"<FG-TD1>", &octets[..]].concat());
        let _ = Data::decode(&octets);
    }
}
