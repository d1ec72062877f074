//! Elements that do not answer.

use rserpool_wire::asap::Unreachable;

use super::*;

fn report(peer: Peer, id: u32) -> Output<Event> {
    send(peer, Asap::Unreachable(Unreachable { handle: pool(), id: PeId(id) }))
}

fn unreachable(id: u32) -> Command {
    Command::ReportUnreachable { handle: pool(), id: PeId(id) }
}

// Checklist 104.
#[test]
fn the_home_is_told_and_the_cache_forgets_the_element() {
    let mut lab = Lab::homed_with(caching());
    lab.resolve(pool());
    lab.message(FIRST, known(pool(), &[1, 2, 3]));
    assert_eq!(lab.command(unreachable(1)), [report(FIRST, 1)]);
    assert_eq!(lab.resolve(pool()), [resolved(2, &[2, 3], 0, Source::Cache)]);
    lab.command(unreachable(2));
    lab.command(unreachable(3));
    assert_eq!(lab.resolve(pool()), [ask(FIRST, pool(), None)]);
}

#[test]
fn whose_turn_it_is_stays_when_another_is_forgotten() {
    let mut lab = Lab::homed_with(caching());
    lab.resolve(pool());
    lab.message(FIRST, known(pool(), &[1, 2, 3]));
    assert_eq!(firsts(&lab.resolve(pool())), [(2, 2)]);
    lab.command(unreachable(1));
    assert_eq!(firsts(&lab.resolve(pool())), [(3, 3)]);
}

#[test]
fn what_was_handed_out_is_not_changed() {
    let mut lab = Lab::homed_with(caching());
    lab.resolve(pool());
    let outputs = lab.message(FIRST, known(pool(), &[1, 2]));
    lab.command(unreachable(1));
    assert_eq!(outputs, [resolved(1, &[1, 2], 0, Source::Registrar)]);
}

// Checklist 104, 206: one for an event, and not again within a keep-alive interval.
#[test]
fn the_same_element_is_not_reported_twice_at_once() {
    let mut lab = Lab::homed();
    assert_eq!(lab.command(unreachable(1)), [report(FIRST, 1)]);
    lab.wait(4);
    assert_eq!(lab.command(unreachable(1)), []);
    assert_eq!(lab.user.stats().reports_suppressed, 1);
    lab.wait(1);
    assert_eq!(lab.command(unreachable(1)), [report(FIRST, 1)]);
}

// Checklist 206.
#[test]
fn there_is_a_limit_to_reports() {
    let mut lab = Lab::homed();
    let sent: usize = (1..=1000).map(|id| lab.command(unreachable(id)).len()).sum();
    assert_eq!(sent, 64);
    assert_eq!(lab.user.stats().reports_suppressed, 936);
    lab.wait(5);
    assert_eq!(lab.command(unreachable(1)), [report(FIRST, 1)]);
}

#[test]
fn without_a_home_the_report_waits_for_one() {
    let mut lab = Lab::new();
    assert_eq!(lab.command(unreachable(1)), [connect(FIRST, 0)]);
    assert_eq!(lab.up(FIRST), [found(), report(FIRST, 1)]);
}

#[test]
fn but_not_for_long() {
    let mut lab = Lab::new();
    lab.command(unreachable(1));
    let (waited, outputs) = lab.timeout();
    assert_eq!(waited, 10);
    assert_eq!(outputs.last(), Some(&Output::Abort(SECOND)));
    assert_eq!(lab.user.next_timeout(), None);
    assert_eq!(lab.resolve(pool()).len(), 1);
}

#[test]
fn a_home_in_doubt_gets_no_report_until_it_has_answered() {
    let mut lab = Lab::homed();
    lab.resolve(pool());
    lab.timeout();
    assert_eq!(lab.command(unreachable(1)), []);
    let outputs = lab.message(FIRST, known(pool(), &[1]));
    assert!(outputs.contains(&report(FIRST, 1)));
}
