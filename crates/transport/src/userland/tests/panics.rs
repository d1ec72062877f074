//! Machines that panic: in whatever call, that costs one association.

use super::*;

/// A conversation in which the machine of one side panics at a call; returns whether it came to it.
async fn conversation(side: usize, call: usize) -> bool {
    let (mut a, mut b) = (bind(), bind());
    let (at_a, at_b) = connected(&mut a, &mut b).await;
    let (mut ends, names) = ([a, b], [at_a, at_b]);
    ends[side].table.get_mut(names[side]).unwrap().machine.fuse.set(Some(call));
    for (end, name) in ends.iter_mut().zip(names) {
        let _ = end.send(name, Ppid::ASAP, &[7; 5000]);
    }
    let [mut a, mut b] = ends;
    let mut over = [false; 2];
    let mut messages = 0;
    while over != [true; 2] {
        let (index, event) = next(&mut [&mut a, &mut b]).await;
        match event {
            Event::Down { .. } => over[index] = true,
            Event::Message { .. } => {
                messages += 1;
                if messages == 2 {
                    a.close(names[0]);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let broken = [&a, &b].map(|end| end.statistics().broken);
    assert_eq!(broken[1 - side], 0, "call {call}");
    let mut other = bind();
    let victim = if side == 0 { &mut a } else { &mut b };
    connected(&mut other, victim).await;
    assert_eq!(victim.statistics().associations, 1, "call {call}");
    broken[side] == 1
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_panics_costs_one_association_whatever_it_was_asked() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut calls = [0, 0];
    for (side, calls) in calls.iter_mut().enumerate() {
        while conversation(side, *calls).await {
            *calls += 1;
        }
    }
    std::panic::set_hook(hook);
    // Every kind of call is among them: of each of some ten there are several.
    assert!(calls.iter().all(|calls| *calls > 40), "{calls:?}");
}

#[tokio::test]
async fn dials_and_listeners_survive_a_machine_that_panics() {
    let mut a = bind();
    let mut b = bind();
    a.listener.fuse.set(Some(0));
    let dialed = b.connect(&loopback(&a)).unwrap();
    let mut ups = 0;
    while ups < 2 {
        let (_, Event::Up { .. }) = next(&mut [&mut a, &mut b]).await else { panic!() };
        ups += 1;
    }
    assert_eq!((a.statistics().broken, b.statistics().broken), (1, 0));
    b.table.get_mut(dialed).unwrap().machine.fuse.set(Some(0));
    b.abort(dialed);
    assert_eq!(b.statistics().associations, 0);
}
