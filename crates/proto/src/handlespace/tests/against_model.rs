//! Random operations, the same on a handlespace and on its model.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::model::Model;
use super::*;
use crate::handlespace::Outcome;

#[derive(Clone, Debug)]
enum Operation {
    Register { pool: usize, id: u32, home: Option<u32>, port: u16, fields: Vec<u32> },
    Deregister { pool: usize, id: u32 },
    Resolve { pool: usize, items: u32 },
    SetHome { pool: usize, id: u32, home: u32 },
    RehomeAll { from: u32, to: u32 },
    Mark { home: u32 },
    ClearMark { pool: usize, id: u32 },
    Drain { home: u32 },
    Table { pool: usize, id: u32, home: Option<u32> },
}

const POOLS: [&str; 3] = ["a", "Pool number two", "a longer name"];

fn any_field() -> impl Strategy<Value = u32> {
    prop_oneof![0..4u32, 0..40u32, Just(u32::MAX), any::<u32>()]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let (pool, id, home) = (0..POOLS.len(), 1..12u32, 1..4u32);
    let maybe_home = prop::option::weighted(0.9, home.clone());
    let fields = prop::collection::vec(any_field(), 4);
    let register = (pool.clone(), id.clone(), maybe_home.clone(), 1..3u16, fields);
    let at = (pool.clone(), id.clone());
    prop_oneof![
        8 => register.prop_map(|(pool, id, home, port, fields)| {
            Operation::Register { pool, id, home, port, fields }
        }),
        3 => at.clone().prop_map(|(pool, id)| Operation::Deregister { pool, id }),
        8 => (pool, 1..14u32).prop_map(|(pool, items)| Operation::Resolve { pool, items }),
        2 => (at.clone(), home.clone())
            .prop_map(|((pool, id), home)| Operation::SetHome { pool, id, home }),
        1 => (home.clone(), home.clone()).prop_map(|(from, to)| Operation::RehomeAll { from, to }),
        1 => home.clone().prop_map(|home| Operation::Mark { home }),
        1 => at.clone().prop_map(|(pool, id)| Operation::ClearMark { pool, id }),
        1 => home.prop_map(|home| Operation::Drain { home }),
        1 => (at, maybe_home).prop_map(|((pool, id), home)| Operation::Table { pool, id, home }),
    ]
}

struct Pair {
    space: Handlespace,
    model: Model,
    policy_type: PolicyType,
    increment: usize,
    /// Of elements that are gone.
    stale: Vec<ElementIndex>,
}

impl Pair {
    fn new(policy_type: PolicyType, max_increment: u32) -> Self {
        let max_increment = NonZeroU32::new(max_increment);
        let config = Config { max_increment, ..Config::default() };
        let increment = max_increment.map_or(usize::MAX, |it| it.get() as usize);
        let space = Handlespace::new(config, 7);
        Self { space, model: Model::default(), policy_type, increment, stale: Vec::new() }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Register { pool, id, home, port, fields } => {
                self.register(&handle(POOLS[pool]), id, home, port, &fields);
            }
            Operation::Deregister { pool, id } => self.deregister(&handle(POOLS[pool]), PeId(id)),
            Operation::Resolve { pool, items } => self.resolve(&handle(POOLS[pool]), items),
            Operation::SetHome { pool, id, home } => {
                if let Some(index) = self.space.find(&handle(POOLS[pool]), PeId(id)) {
                    assert!(self.space.set_home(index, registrar(home)));
                    let member = self.model.all_mut().find(|it| it.index == index).unwrap();
                    (member.element.home, member.marked) = (Some(registrar(home)), false);
                }
            }
            Operation::RehomeAll { from, to } => {
                let (from, to) = (registrar(from), registrar(to));
                let count = self.space.rehome_all(from, to);
                assert_eq!(count, self.model.owned(from).count());
                for member in self.model.all_mut().filter(|it| it.element.home == Some(from)) {
                    (member.element.home, member.marked) = (Some(to), false);
                }
            }
            Operation::Mark { home } => {
                let home = registrar(home);
                self.space.mark_all(home);
                let owned = self.model.all_mut().filter(|it| it.element.home == Some(home));
                owned.for_each(|member| member.marked = true);
            }
            Operation::ClearMark { pool, id } => {
                if let Some(index) = self.space.find(&handle(POOLS[pool]), PeId(id)) {
                    self.space.clear_mark(index);
                    self.model.all_mut().filter(|it| it.index == index).for_each(|it| {
                        it.marked = false;
                    });
                }
            }
            Operation::Drain { home } => self.drain(registrar(home)),
            Operation::Table { pool, id, home } => {
                let cursor = (handle(POOLS[pool]), PeId(id));
                self.compare_table(Some(&cursor), home.map(registrar));
            }
        }
        self.compare();
    }

    fn register(&mut self, name: &PoolHandle, id: u32, home: Option<u32>, port: u16, f: &[u32]) {
        let fields = &f[..self.policy_type.fields().unwrap().len()];
        let mut element = element(id, policy(self.policy_type, fields));
        element.home = home.map(registrar);
        element.user_transport = Transport::Udp { port, address: [192, 0, 2, 1].into() };
        // Found by its index or by its handle makes no difference; the index of one that is gone finds
        // nobody else.
        let found = self.space.find(name, PeId(id)).or_else(|| self.stale.last().copied());
        let registered = match found.filter(|_| port.is_multiple_of(2)) {
            Some(index) => self.space.register_again(index, name, element.clone()).unwrap(),
            None => self.space.register(name, element.clone()).unwrap(),
        };
        let pool = self.model.pools.get(name);
        let before = pool.and_then(|pool| pool.members.get(&PeId(id))).map(|it| &it.element);
        let outcome = match before {
            None => Outcome::New,
            Some(before) if *before == element => Outcome::Unchanged,
            Some(_) => Outcome::Changed,
        };
        assert_eq!(registered.outcome, outcome);
        assert_eq!(registered.previous_home, before.and_then(|before| before.home));
        self.model.register(name, &element, registered.index);
    }

    fn deregister(&mut self, name: &PoolHandle, id: PeId) {
        let Some(index) = self.space.find(name, id) else {
            assert!(self.model.deregister(name, id).is_none());
            return;
        };
        let removed = self.space.deregister(index);
        let expected = self.model.deregister(name, id).map(|element| (name.clone(), element));
        assert_eq!(removed, expected);
        self.stale.push(index);
    }

    fn resolve(&mut self, name: &PoolHandle, items: u32) {
        let resolution = self.space.resolve(name, Some(items));
        let Some(pool) = self.model.pools.get_mut(name) else {
            assert!(resolution.is_none());
            return;
        };
        let resolution = resolution.unwrap();
        assert_eq!(resolution.policy, Policy::of_type(self.policy_type));
        let listed: Vec<PeId> = resolution.elements().map(|it| it.id).collect();
        for element in resolution.elements() {
            assert_eq!(*element, pool.members[&element.id].element);
        }
        let items = items as usize;
        if !draws(self.policy_type) {
            assert_eq!(listed, pool.select(items, self.increment));
            return;
        }
        let (first, last) = pool.eligible();
        let mut distinct = listed.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), items.min(first.len() + last.len()));
        let (by_odds, the_rest) = listed.split_at(first.len().min(listed.len()));
        assert!(by_odds.iter().all(|id| first.contains(id)), "{listed:?} of {first:?}");
        assert!(the_rest.iter().all(|id| last.contains(id)), "{listed:?} of {last:?}");
        pool.count_listings(&listed);
    }

    fn drain(&mut self, home: RegistrarId) {
        let drained = self.space.drain_marked(home);
        let marked = self.model.owned(home).filter(|(_, member)| member.marked);
        let marked: Vec<ElementIndex> = marked.map(|(_, member)| member.index).collect();
        assert_eq!(drained, marked);
        for member in self.model.all_mut().filter(|it| it.element.home == Some(home)) {
            member.marked = false;
        }
    }

    fn compare(&self) {
        let Self { space, model, .. } = self;
        assert_eq!(space.len(), model.all().count());
        assert_eq!(space.is_empty(), model.pools.is_empty());
        assert_eq!(space.pool_count(), model.pools.len());
        for home in (1..4).map(registrar) {
            assert_eq!(space.checksum(home), model.checksum(home));
            let owned: Vec<ElementIndex> = model.owned(home).map(|(_, it)| it.index).collect();
            assert_eq!(space.owned_count(home), owned.len());
            assert_eq!(space.homes().any(|it| it == home), !owned.is_empty());
            assert_eq!(space.owned_by(home).collect::<Vec<_>>(), owned);
        }
        for (name, member) in model.all() {
            assert_eq!(space.find(name, member.element.id), Some(member.index));
            let view = space.element(member.index).unwrap();
            assert_eq!((view.handle, view.element), (name, &member.element));
            assert_eq!((view.index, view.marked), (member.index, member.marked));
        }
        for &index in &self.stale {
            assert!(space.element(index).is_none());
        }
        self.compare_table(None, None);
        let pools = space.pools().flat_map(|pool| pool.elements().map(|it| it.index));
        assert!(pools.eq(model.all().map(|(_, member)| member.index)));
    }

    fn compare_table(&self, cursor: Option<&(PoolHandle, PeId)>, home: Option<RegistrarId>) {
        let expected = self.model.all().filter(|(name, member)| {
            let key = ((*name).clone(), member.element.id);
            cursor.is_none_or(|cursor| key > *cursor)
                && (home.is_none() || member.element.home == home)
        });
        let expected = expected.map(|(name, member)| (name, &member.element));
        assert!(self.space.table_after(cursor, home).eq(expected));
    }
}

fn draws(policy_type: PolicyType) -> bool {
    matches!(
        policy_type,
        PolicyType::RANDOM
            | PolicyType::WEIGHTED_RANDOM
            | PolicyType::WEIGHTED_RANDOM_DPF
            | PolicyType::RANDOMIZED_LEAST_USED
            | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED
            | PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION
            | PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn does_what_the_model_does(
        policy_type in prop::sample::select(PolicyType::ASSIGNED),
        max_increment in 0..4u32,
        operations in prop::collection::vec(any_operation(), 1..150),
    ) {
        let mut pair = Pair::new(policy_type, max_increment);
        for operation in operations {
            pair.run(operation);
        }
    }
}
