//! A set of sequences as ranges: small where the members are consecutive.

use crate::ids::Sequence;
use crate::wire::DecodeError;
use crate::wire::codec::{Reader, Writer};
use alloc::vec::Vec;

/// Sequences, kept as ascending ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(Sequence, Sequence)>);

impl Ranges {
    pub(super) fn contains(&self, sequence: Sequence) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= sequence);
        after > 0 && self.0[after - 1].1 >= sequence
    }
    pub(super) fn insert(&mut self, first: Sequence, last: Sequence) {
        let begin = self.0.partition_point(|(_, l)| l.saturating_add(1) < first);
        let end = self.0.partition_point(|(f, _)| *f <= last.saturating_add(1));
        let merged = self.0[begin..end].iter().fold((first, last), |m, r| (m.0.min(r.0), m.1.max(r.1)));
        self.0.splice(begin..end, [merged]);
    }
    pub(super) fn remove(&mut self, sequence: Sequence) {
        let Some(at) = self.0.iter().position(|(first, last)| (*first..=*last).contains(&sequence)) else { return };
        let (first, last) = self.0.remove(at);
        if sequence < last {
            self.0.insert(at, (sequence + 1, last));
        }
        if first < sequence {
            self.0.insert(at, (first, sequence - 1));
        }
    }
    /// The highest member; 0: none.
    pub(super) fn last(&self) -> Sequence {
        self.0.last().map_or(0, |(_, last)| *last)
    }
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
    pub(super) fn write(&self, out: &mut Writer) {
        out.array(self.0.len() as u64 * 2);
        for (first, last) in &self.0 {
            out.u64(*first).u64(*last);
        }
    }
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Ranges, DecodeError> {
        let numbers = input.numbers()?;
        Ok(Ranges(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Random;
    use std::collections::BTreeSet;

    #[test]
    fn behaves_like_a_set() {
        let mut random = Random::new([1; 32]);
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for round in 0..2000 {
            if round % 20 == 0 {
                ranges.clear();
                set.clear();
            }
            let at = random.below(60) + 1;
            let last = at + random.below(4);
            ranges.insert(at, last);
            set.extend(at..=last);
            let gone = random.below(60) + 1;
            ranges.remove(gone);
            set.remove(&gone);
            assert!((0..70).all(|n| ranges.contains(n) == set.contains(&n)), "{ranges:?} {set:?}");
            assert!(ranges.0.windows(2).all(|w| w[0].1 + 1 < w[1].0), "{ranges:?}");
        }
        let mut out = Writer::new();
        ranges.write(&mut out);
        assert_eq!(Ranges::read(&mut Reader::new(&out.finish().into())), Ok(ranges));
    }
}
