use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::*;
use crate::timing::Profile;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// A hunt with the RFC's timers at a point in time, and what it has asked for.
struct Lab {
    hunt: Hunt,
    now: Time,
    outputs: VecDeque<Output<()>>,
}

impl Lab {
    fn new(configured: usize) -> Self {
        Self::seeded(configured, 7)
    }

    fn seeded(configured: usize, seed: u64) -> Self {
        let hunt = Hunt::new(configured, &Timing::of(Profile::Rfc), seed);
        Self { hunt, now: Time::ZERO, outputs: VecDeque::new() }
    }

    fn drain(&mut self) -> Vec<Output<()>> {
        self.outputs.drain(..).collect()
    }

    fn start(&mut self) -> Vec<(Peer, Target)> {
        self.hunt.start(self.now, &mut self.outputs);
        connects(&self.drain())
    }

    fn up(&mut self, peer: Peer) -> (Option<Target>, Vec<Output<()>>) {
        let target = self.hunt.up(peer, &mut self.outputs);
        (target, self.drain())
    }

    fn down(&mut self, peer: Peer) -> Vec<(Peer, Target)> {
        assert!(self.hunt.down(peer, &mut self.outputs));
        connects(&self.drain())
    }

    fn announce(&mut self, transports: Vec<Transport>) -> Vec<(Peer, Target)> {
        let announce = Announce { sender: None, transports };
        self.hunt.announced(self.now, SOURCE, &announce, &mut self.outputs);
        connects(&self.drain())
    }

    /// Goes to the next timeout: how long it took, whether a round was dry, what came of it.
    fn timeout(&mut self) -> (u64, bool, Vec<Output<()>>) {
        let due = self.hunt.next_timeout().unwrap();
        let waited = (due - self.now).as_secs();
        self.now = due;
        let dry = self.hunt.timeout(self.now, &mut self.outputs);
        (waited, dry, self.drain())
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn connects(outputs: &[Output<()>]) -> Vec<(Peer, Target)> {
    let connect = |output: &Output<()>| match output {
        Output::Connect(peer, target, Protocol::Asap) => Some((*peer, target.clone())),
        _ => None,
    };
    outputs.iter().filter_map(connect).collect()
}

fn targets(dials: &[(Peer, Target)]) -> BTreeSet<usize> {
    let number = |(_, target): &(Peer, Target)| match target {
        Target::Configured(number) => *number,
        Target::Learned(_) => usize::MAX,
    };
    dials.iter().map(number).collect()
}

fn learned(last_octet: u8) -> Transport {
    let address = Ipv4Addr::new(10, 0, 0, last_octet).into();
    Transport::Tcp { port: 3863, transport_use: TransportUse::DataOnly, address }
}

// Checklist 114, 116.
#[test]
fn dials_three_at_once_and_not_more() {
    let mut lab = Lab::new(5);
    let dials = lab.start();
    assert_eq!(dials.len(), 3);
    assert_eq!(targets(&dials).len(), 3);
    assert_eq!(lab.start(), []);
}

// Checklist 116: a random start.
#[test]
fn hunts_begin_at_different_registrars() {
    let firsts: BTreeSet<usize> = (0..50)
        .map(|seed| targets(&Lab::seeded(10, seed).start()[..1]).pop_first().unwrap())
        .collect();
    assert!(firsts.len() > 5, "{firsts:?}");
}

// Checklist 118.
#[test]
fn a_failed_attempt_is_replaced_by_another_registrar() {
    let mut lab = Lab::new(5);
    let dials = lab.start();
    let replacement = lab.down(dials[0].0);
    assert_eq!(replacement.len(), 1);
    assert!(targets(&dials).is_disjoint(&targets(&replacement)));
}

#[test]
fn each_registrar_is_dialed_once_a_round_and_then_it_waits() {
    let mut lab = Lab::new(2);
    let dials = lab.start();
    assert_eq!(lab.down(dials[0].0), []);
    assert_eq!(lab.down(dials[1].0), []);
    let (waited, dry, outputs) = lab.timeout();
    assert!(dry && (5..=10).contains(&waited), "{waited}");
    assert_eq!(targets(&connects(&outputs)), BTreeSet::from([0, 1]));
}

#[test]
fn without_any_candidate_it_waits() {
    let mut lab = Lab::new(0);
    assert_eq!(lab.start(), []);
    assert_eq!(lab.timeout(), (10, true, vec![]));
    let (waited, dry, outputs) = lab.timeout();
    assert!(dry && (10..=20).contains(&waited) && outputs.is_empty(), "{waited}: {outputs:?}");
}

// Checklist 121, SH6.
#[test]
fn the_first_association_wins_and_the_others_are_aborted() {
    let mut lab = Lab::new(3);
    let dials = lab.start();
    let (target, outputs) = lab.up(dials[1].0);
    assert_eq!(target, Some(dials[1].1.clone()));
    let aborted: BTreeSet<Peer> = BTreeSet::from([dials[0].0, dials[2].0]);
    let expected: Vec<_> = aborted.iter().map(|&peer| Output::Abort(peer)).collect();
    let mut outputs = outputs;
    outputs.sort_by_key(|output| match output {
        Output::Abort(peer) => Some(*peer),
        _ => None,
    });
    assert_eq!(outputs, expected);
    assert_eq!(lab.hunt.next_timeout(), None);
    assert_eq!(lab.up(dials[0].0), (None, vec![]));
}

// Checklist 119, 120.
#[test]
fn rounds_get_longer_up_to_a_minute_and_go_on_to_other_registrars() {
    let mut lab = Lab::new(6);
    let mut dials = lab.start();
    for seconds in [10, 20, 40, 60, 60] {
        let (waited, dry, outputs) = lab.timeout();
        // Half of T5 to all of it, but each registrar has its ten seconds.
        let least = (seconds / 2).max(10);
        assert!(dry && (least..=seconds).contains(&waited), "{waited} of {seconds}");
        let aborts: Vec<_> = dials.iter().map(|(peer, _)| Output::Abort(*peer)).collect();
        assert_eq!(outputs[..3], aborts);
        let next = connects(&outputs);
        assert_eq!(next.len(), 3);
        assert!(targets(&dials).is_disjoint(&targets(&next)));
        dials = next;
    }
}

// Checklist 117.
#[test]
fn the_first_round_is_short_again_once_a_registrar_has_answered() {
    let mut lab = Lab::new(1);
    lab.start();
    lab.timeout();
    let (_, _, outputs) = lab.timeout();
    assert!(lab.up(connects(&outputs)[0].0).0.is_some());
    lab.hunt.settle();
    lab.start();
    assert_eq!(lab.timeout().0, 10);
}

// Checklist 112.
#[test]
fn an_announced_registrar_is_dialed_at_once() {
    let mut lab = Lab::new(0);
    lab.start();
    let dials = lab.announce(vec![learned(9)]);
    assert_eq!(dials, [(Peer::dialed(1), Target::Learned(learned(9)))]);
    assert_eq!(lab.announce(vec![learned(9)]), []);
}

// Checklist 112.
#[test]
fn an_announce_is_believed_for_five_seconds_and_each_one_starts_them_anew() {
    let mut lab = Lab::new(0);
    lab.announce(vec![learned(8), learned(9)]);
    lab.wait(4);
    lab.announce(vec![learned(9)]);
    lab.wait(4);
    assert_eq!(lab.start(), [(Peer::dialed(1), Target::Learned(learned(9)))]);
}

// Checklist 113.
#[test]
fn an_announce_without_transports_means_sctp_where_it_came_from() {
    let mut lab = Lab::new(0);
    lab.start();
    let transport_use = TransportUse::DataOnly;
    let sctp = SctpTransport { port: 3863, transport_use, addresses: SOURCE.into() };
    let target = Target::Learned(Transport::Sctp(sctp));
    assert_eq!(lab.announce(vec![]), [(Peer::dialed(1), target)]);
}

#[test]
fn transports_that_cannot_be_dialed_are_ignored() {
    let mut lab = Lab::new(0);
    lab.start();
    let any = Ipv4Addr::UNSPECIFIED.into();
    let group = Ipv4Addr::new(239, 0, 0, 1).into();
    let transport_use = TransportUse::DataOnly;
    let many = vec![SOURCE; Hunt::ADDRESSES_MAX + 1].into();
    assert_eq!(
        lab.announce(vec![
            Transport::Tcp { port: 0, transport_use, address: SOURCE },
            Transport::Tcp { port: 1, transport_use, address: any },
            Transport::Tcp { port: 1, transport_use, address: group },
            Transport::Udp { port: 1, address: SOURCE },
            Transport::Sctp(SctpTransport { port: 1, transport_use, addresses: many }),
        ]),
        []
    );
    assert_eq!(lab.hunt.stats().announced_ignored, 5);
}

// Checklist 209.
#[test]
fn a_flood_of_announces_does_not_keep_it_from_configured_registrars() {
    let mut lab = Lab::new(2);
    for last_octet in 1..=200 {
        lab.announce(vec![learned(last_octet)]);
    }
    let expected = 200 - u64::try_from(Hunt::LEARNED_MAX).unwrap();
    assert_eq!(lab.hunt.stats().announced_ignored, expected);
    let mut dials = lab.start();
    // Nothing of this ever comes up.
    for _ in 0..10 {
        assert!(!targets(&dials).is_disjoint(&BTreeSet::from([0, 1])), "{dials:?}");
        let (_, _, outputs) = lab.timeout();
        dials = connects(&outputs);
        for last_octet in 1..=200 {
            dials.extend(lab.announce(vec![learned(last_octet)]));
        }
        assert_eq!(dials.len(), 3);
    }
}

#[test]
fn a_silent_registrar_is_left_out_while_there_are_others() {
    let mut lab = Lab::new(3);
    lab.hunt.avoid(Some(Target::Configured(1)));
    let dials = lab.start();
    assert_eq!(targets(&dials), BTreeSet::from([0, 2]));
    assert_eq!(lab.down(dials[0].0), []);
    // The last resort.
    assert_eq!(targets(&lab.down(dials[1].0)), BTreeSet::from([1]));
}

#[test]
fn a_silent_registrar_is_dialed_in_the_next_round() {
    let mut lab = Lab::new(2);
    lab.hunt.avoid(Some(Target::Configured(1)));
    assert_eq!(targets(&lab.start()), BTreeSet::from([0]));
    assert_eq!(targets(&connects(&lab.timeout().2)), BTreeSet::from([0, 1]));
}

#[test]
fn the_only_registrar_is_dialed_though_it_was_silent() {
    let mut lab = Lab::new(1);
    lab.hunt.avoid(Some(Target::Configured(0)));
    assert_eq!(targets(&lab.start()), BTreeSet::from([0]));
}

#[test]
fn registrars_that_never_answer_are_not_dialed_in_a_circle() {
    let mut lab = Lab::new(2);
    for _ in 0..Hunt::FRUITLESS_MAX {
        let dials = lab.start();
        assert!(lab.up(dials[0].0).0.is_some());
    }
    assert_eq!(lab.start(), []);
    // Nor because they announce themselves.
    assert_eq!(lab.announce(vec![learned(9)]), []);
    let (waited, dry, outputs) = lab.timeout();
    assert_eq!((waited, dry), (10, false));
    let dials = connects(&outputs);
    assert_eq!(targets(&dials), BTreeSet::from([0, 1]));
    assert!(lab.up(dials[0].0).0.is_some());
    assert_eq!(lab.start(), []);
    let waited = lab.timeout().0;
    assert!((10..=20).contains(&waited), "{waited}");
}

#[test]
fn a_rest_goes_on_while_nobody_hunts() {
    let mut lab = Lab::new(1);
    for _ in 0..Hunt::FRUITLESS_MAX {
        let dials = lab.start();
        assert!(lab.up(dials[0].0).0.is_some());
    }
    // Whoever has less patience than it rests, and begins anew, gets there nevertheless.
    for _ in 0..3 {
        assert_eq!(lab.start(), []);
        lab.wait(3);
        lab.hunt.stop(&mut lab.outputs);
    }
    assert_eq!(lab.start(), []);
    assert_eq!(lab.timeout().0, 1);
    lab.hunt.stop(&mut lab.outputs);
    lab.drain();
    // The next rest is a longer one, and may be over before anybody hunts again.
    assert_eq!(lab.start(), []);
    lab.hunt.stop(&mut lab.outputs);
    lab.wait(20);
    assert_eq!(targets(&lab.start()), BTreeSet::from([0]));
}

#[test]
fn who_comes_long_after_a_round_was_cut_short_need_not_rest() {
    let mut lab = Lab::new(1);
    for _ in 0..Hunt::FRUITLESS_MAX {
        let dials = lab.start();
        assert!(lab.up(dials[0].0).0.is_some());
    }
    assert_eq!(lab.start(), []);
    assert_eq!(lab.timeout().0, 10);
    // The round after the rest takes 20 s, but nobody waits for it.
    lab.wait(5);
    lab.hunt.stop(&mut lab.outputs);
    lab.drain();
    lab.wait(5);
    assert_eq!(lab.start(), []);
    assert_eq!(lab.hunt.next_timeout().map(|at| at - lab.now), Some(Duration::from_secs(10)));
    lab.hunt.stop(&mut lab.outputs);
    lab.wait(100);
    let dials = lab.start();
    assert_eq!(targets(&dials), BTreeSet::from([0]));
    // An association that brings nothing is another matter.
    assert!(lab.up(dials[0].0).0.is_some());
    lab.wait(100);
    assert_eq!(lab.start(), []);
}

#[test]
fn registrars_that_answer_and_hang_up_are_not_dialed_in_a_circle_either() {
    let mut lab = Lab::new(1);
    for _ in 0..Hunt::FOUND_MAX {
        let dials = lab.start();
        assert!(lab.up(dials[0].0).0.is_some());
        lab.hunt.settle();
    }
    assert_eq!(lab.start(), []);
    assert_eq!(lab.timeout().0, 10);
}

#[test]
fn those_that_lost_a_registrar_together_come_back_one_by_one_and_soon() {
    let timing = Timing::default();
    let mut tries = BTreeSet::new();
    for seed in 0..20 {
        let mut lab = Lab::new(1);
        lab.hunt = Hunt::new(1, &timing, seed);
        let mut dials = lab.start();
        // Refused each time, for a minute.
        while lab.now < Time::from_origin(Duration::from_secs(60)) {
            assert_eq!(lab.down(dials[0].0), []);
            let before = lab.now;
            let (_, dry, outputs) = lab.timeout();
            let pause = lab.now - before;
            assert!(dry && pause <= timing.backoff_max, "{pause:?}");
            assert!(pause >= timing.hunt_timeout / 2, "{pause:?}");
            dials = connects(&outputs);
        }
        tries.insert(lab.now.since_origin().as_millis() / 20);
    }
    assert!(tries.len() > 15, "{tries:?}");
}

#[test]
fn registrars_that_refuse_are_left_out_until_all_have_been_tried() {
    let mut lab = Lab::new(3);
    let mut found = BTreeSet::new();
    for _ in 0..3 {
        let dials = lab.start();
        let target = lab.up(dials[0].0).0;
        found.extend(targets(&[(dials[0].0, target.clone().unwrap())]));
        lab.hunt.avoid(target);
    }
    assert_eq!(found, BTreeSet::from([0, 1, 2]));
    let all = [0, 1, 2].map(Target::Configured);
    assert!(lab.hunt.are_all(&all.each_ref()));
    assert!(!lab.hunt.are_all(&[&all[0], &all[2]]));
}

#[test]
fn what_it_did_not_dial_is_not_its_own() {
    let mut lab = Lab::new(1);
    lab.start();
    assert_eq!(lab.up(Peer::accepted(1)), (None, vec![]));
    assert!(!lab.hunt.down(Peer::accepted(1), &mut lab.outputs));
}

#[test]
fn the_same_seed_dials_the_same() {
    let run = || {
        let mut lab = Lab::new(9);
        let mut all = lab.start();
        (0..5).for_each(|_| all.extend(connects(&lab.timeout().2)));
        all
    };
    assert_eq!(run(), run());
}
