//! How many connections each source has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rserpool::transport::Source;

/// How many connections each source has.
#[derive(Clone, Default)]
pub(crate) struct Sources(Arc<Mutex<HashMap<Source, usize>>>);

/// One connection of a source.
pub(crate) struct OfSource(Sources, Source);

impl Sources {
    /// A place for a connection of this address, if its source has one left of `most`.
    pub(crate) fn take(&self, address: IpAddr, most: usize) -> Option<OfSource> {
        let source = Source::of(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&source).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        counts.insert(source, count + 1);
        Some(OfSource(self.clone(), source))
    }
}

impl Drop for OfSource {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_count_however_many_addresses_it_has() {
        let sources = Sources::default();
        let take = |text: &str| sources.take(text.parse().unwrap(), 2);
        let first = take("2001:db8::1");
        let _second = take("2001:db8::2:2");
        assert!(first.is_some() && take("2001:db8::3").is_none());
        let of_v4 = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(of_v4.iter().all(Option::is_some) && take("192.0.2.1").is_none());
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop((of_v4, _second));
        // Who has none takes no memory, and nothing but who has some.
        assert!(sources.take("192.0.2.1".parse().unwrap(), 0).is_none());
        assert_eq!(sources.0.lock().unwrap().len(), 0);
    }
}
