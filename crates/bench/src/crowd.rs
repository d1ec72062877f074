//! Very many elements over few associations, in a thread of their own: just enough of ASAP to
//! register, to answer, to agree to a new home and to look for one.

mod member;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool::transport::Address;
use rserpool::wire::param::PoolHandle;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::load::handle;
use super::scope::Setting;

use member::Member;

/// Who there is.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) setting: Setting,
    /// Where to register: all at the first one, as long as it is there.
    pub(super) registrars: Vec<Address>,
    pub(super) elements: u32,
    /// What the names of its pools begin with.
    pub(super) name: &'static str,
}

/// Elements; gone when it is dropped.
pub(super) struct Crowd {
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Elements that are in their pools.
    registered: AtomicU32,
    /// Elements whose home is another one than their first.
    moved: AtomicU32,
    /// When the last one got there.
    moved_us: AtomicU64,
    /// How often a registrar said that an element is out of its pool.
    removed: AtomicU32,
    /// The first thing that should not have happened: a registration that was rejected, a message
    /// that was not taken.
    failure: OnceLock<String>,
}

/// Associations.
const MEMBERS: u32 = 100;
/// Pools.
pub(super) const POOLS: u32 = 1000;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Crowd {
    /// Starts to register all elements.
    pub(super) fn start(plan: Plan) -> anyhow::Result<Self> {
        let counts = Arc::<Counts>::default();
        let (stop, stopped) = oneshot::channel();
        let pools: Arc<[PoolHandle]> =
            (0..POOLS).map(|number| pool(plan.name, number)).collect::<Result<_, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let of_thread = Arc::clone(&counts);
        let crowd = move || {
            runtime.block_on(async {
                let share = plan.elements.div_ceil(MEMBERS).max(1);
                for number in 0..MEMBERS {
                    let (first, end) = (number * share, (number + 1) * share);
                    let elements = first.min(plan.elements)..end.min(plan.elements);
                    if !elements.is_empty() {
                        let (pools, counts) = (Arc::clone(&pools), Arc::clone(&of_thread));
                        let member = Member::new(number, &plan, elements, pools, counts);
                        tokio::spawn(member.run());
                    }
                }
                // Dropping the other end is a way to say it, too.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(crowd)?;
        Ok(Self { counts, stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until so many elements are in their pools.
    pub(super) async fn registered(&self, elements: u32) -> anyhow::Result<()> {
        while self.counts.registered.load(Ordering::Relaxed) < elements {
            self.check()?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// How many elements have another home than at first.
    pub(super) fn moved(&self) -> u32 {
        self.counts.moved.load(Ordering::Relaxed)
    }

    /// When the last of them got there.
    pub(super) fn last_moved_us(&self) -> u64 {
        self.counts.moved_us.load(Ordering::Relaxed)
    }

    /// How often a registrar took an element out, which lived and registered again.
    pub(super) fn removed(&self) -> u32 {
        self.counts.removed.load(Ordering::Relaxed)
    }

    /// Whether all went well so far.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.counts.failure.get().map_or(Ok(()), |failure| bail!("an element: {failure}"))
    }
}

/// One of the pools.
pub(super) fn pool(name: &str, number: u32) -> anyhow::Result<PoolHandle> {
    handle(&format!("{name}-{number}"))
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop = None;
        // One that panicked is gone, too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
