mod against_model;
mod limits;
mod model;
mod selection;
mod tables;
mod withheld;

use rserpool_wire::param::{
    PeId, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, Transport,
};
use rserpool_wire::registry::PolicyType;

use super::{Config, ElementIndex, Handlespace, Registered};

fn handle(name: &str) -> PoolHandle {
    PoolHandle::new(name.as_bytes()).unwrap()
}

fn registrar(id: u32) -> RegistrarId {
    RegistrarId::new(id).unwrap()
}

fn element(id: u32, policy: Policy) -> PoolElement {
    let user_transport = Transport::Udp { port: 7, address: [192, 0, 2, 1].into() };
    let life = RegistrationLife(300);
    PoolElement { id: PeId(id), home: None, life, user_transport, policy, asap_transport: None }
}

fn policy(policy_type: PolicyType, fields: &[u32]) -> Policy {
    Policy::new(policy_type, fields).unwrap()
}

/// A handlespace with the one pool `p`.
struct Lab(Handlespace);

impl Lab {
    /// Elements 1, 2, 3… with these policies.
    fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        Self::with(Config::default(), policies)
    }

    fn with(config: Config, policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut lab = Self(Handlespace::new(config, 1));
        for (id, policy) in (1..).zip(policies) {
            lab.register(id, policy);
        }
        lab
    }

    fn register(&mut self, id: u32, policy: Policy) -> Registered {
        self.0.register(&handle("p"), element(id, policy)).unwrap()
    }

    fn index(&self, id: u32) -> ElementIndex {
        self.0.find(&handle("p"), PeId(id)).unwrap()
    }

    fn deregister(&mut self, id: u32) {
        self.0.deregister(self.index(id)).unwrap();
    }

    /// The identifiers that a resolution lists.
    fn list(&mut self, items: u32) -> Vec<u32> {
        let resolution = self.0.resolve(&handle("p"), Some(items)).unwrap();
        resolution.elements().map(|element| element.id.0).collect()
    }

    /// The identifiers of so many resolutions of one element.
    fn picks(&mut self, count: usize) -> Vec<u32> {
        (0..count).flat_map(|_| self.list(1)).collect()
    }

    /// How often each of 0..=`max` is picked in so many resolutions of one element.
    fn shares(&mut self, count: usize, max: usize) -> Vec<usize> {
        let mut shares = vec![0; max + 1];
        for id in self.picks(count) {
            shares[id as usize] += 1;
        }
        shares
    }
}
