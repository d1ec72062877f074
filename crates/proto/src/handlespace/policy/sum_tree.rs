use rand::RngExt;
use rand::rngs::StdRng;

/// Children of a node: what fits into one or two cache lines.
const FANOUT: usize = 16;

/// Numbers in a row, with sums over them: a number changes and is found by its share of the whole
/// in O(log n).
#[derive(Debug, Default)]
pub(super) struct SumTree {
    numbers: Vec<u32>,
    /// Sums of [`FANOUT`] neighbours of the numbers, then of the sums below, until one is left.
    sums: Vec<Vec<u64>>,
}

impl SumTree {
    /// Appends a number.
    pub(super) fn push(&mut self, number: u32) {
        let position = self.numbers.len();
        self.numbers.push(0);
        let mut length = position + 1;
        for sums in &mut self.sums {
            length = length.div_ceil(FANOUT);
            sums.resize(length, 0);
        }
        if length > 1 || self.sums.is_empty() {
            self.sums.push(vec![self.total()]);
        }
        self.add(position, 0, number);
    }

    /// Drops the last number.
    pub(super) fn pop(&mut self) {
        let Some(last) = self.numbers.len().checked_sub(1) else { return };
        self.add(last, self.numbers[last], 0);
        self.numbers.truncate(last);
        let mut length = last;
        for sums in &mut self.sums {
            length = length.div_ceil(FANOUT);
            sums.truncate(length);
        }
    }

    /// Replaces a number.
    pub(super) fn set(&mut self, position: u32, number: u32) {
        let position = position as usize;
        let before = self.numbers[position];
        if number != before {
            self.add(position, before, number);
        }
    }

    /// The sum of all.
    pub(super) fn total(&self) -> u64 {
        self.sums.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// Draws a position, each as often as its number says; `None` where all are 0.
    pub(super) fn draw(&self, rng: &mut StdRng) -> Option<u32> {
        let total = self.total();
        self.find((total > 0).then(|| rng.random_range(0..total))?)
    }

    /// The position of the number into whose share `share` falls, were they laid end to end; `None`
    /// where it falls behind all of them.
    fn find(&self, mut share: u64) -> Option<u32> {
        let mut node = 0;
        for sums in self.sums.iter().rev().skip(1) {
            node = descend(&mut share, sums, node)?;
        }
        u32::try_from(descend(&mut share, &self.numbers, node)?).ok()
    }

    fn add(&mut self, position: usize, before: u32, number: u32) {
        self.numbers[position] = number;
        let mut node = position;
        for sums in &mut self.sums {
            node /= FANOUT;
            sums[node] = sums[node] - u64::from(before) + u64::from(number);
        }
    }
}

/// The child of a node into whose share `share` falls; what is left of it is the share within.
fn descend<N: Copy + Into<u64>>(share: &mut u64, children: &[N], node: usize) -> Option<usize> {
    let first = node * FANOUT;
    for (child, sum) in (first..).zip(&children[first..]) {
        let sum = (*sum).into();
        if *share < sum {
            return Some(child);
        }
        *share -= sum;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_adding_up_finds(
            steps in prop::collection::vec((0..4u8, any::<u32>(), any::<u64>()), 1..1200),
        ) {
            let (mut tree, mut plain) = (SumTree::default(), Vec::<u32>::new());
            for (kind, number, place) in steps {
                let position = usize::try_from(place).unwrap() % plain.len().max(1);
                match kind {
                    0 => {
                        tree.pop();
                        plain.pop();
                    }
                    1 if !plain.is_empty() => {
                        tree.set(position.try_into().unwrap(), number);
                        plain[position] = number;
                    }
                    _ => {
                        tree.push(number);
                        plain.push(number);
                    }
                }
                let total: u64 = plain.iter().map(|&it| u64::from(it)).sum();
                prop_assert_eq!(tree.total(), total);
                if total > 0 {
                    let mut share = place % total;
                    let found = plain.iter().position(|&number| {
                        let here = share < number.into();
                        share = share.wrapping_sub(number.into());
                        here
                    });
                    let found = found.map(|it| u32::try_from(it).unwrap());
                    prop_assert_eq!(tree.find(place % total), found);
                }
            }
        }
    }
}
