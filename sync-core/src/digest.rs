//! The digests of the protocol: BLAKE3 with a one-byte domain in front, integers as 8 bytes big-endian.

use crate::ids::*;

const DOMAIN_TAG: u8 = 1;
const DOMAIN_CHECK: u8 = 2;
const DOMAIN_PRODUCER: u8 = 3;
const DOMAIN_STREAM: u8 = 4;
const DOMAIN_RANDOM: u8 = 5;
const DOMAIN_WRITER: u8 = 6;

fn digest<const N: usize>(domain: u8, parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[domain]);
    for part in parts {
        hasher.update(part);
    }
    // The extended output begins with these 32 bytes too, and would be a second compression function to download.
    hasher.finalize().as_bytes()[..N].try_into().expect("no digest here is longer than 32 bytes")
}

/// `tag(n) = H(tag(n-1), content of event n)`: 8 bytes that chain a producer's events.
pub fn tag(before: Tag, content: &[u8]) -> Tag {
    Tag(digest(DOMAIN_TAG, &[&before.0, content]))
}

/// The check of an empty log.
pub fn check_of_empty(epoch: Epoch) -> Check {
    Check(digest(DOMAIN_CHECK, &[&epoch.0]))
}

/// One step of the log check: 16 bytes that stand for the whole prefix.
pub fn check(before: Check, id: EventId, tag: Tag) -> Check {
    Check(digest(DOMAIN_CHECK, &[&before.0, &id.producer.0, &id.sequence.to_be_bytes(), &tag.0]))
}

/// The producer id under which an event is filed whose own id is taken by another event (R11). A function of the event,
/// so that every holder of it files it under the same id.
pub fn derived_producer(id: EventId, tag: Tag) -> ProducerId {
    ProducerId(digest(DOMAIN_PRODUCER, &[&id.producer.0, &id.sequence.to_be_bytes(), &tag.0]))
}

/// The short name of a stream inside causes.
pub fn stream_hash(name: &StreamName) -> StreamHash {
    StreamHash(digest(DOMAIN_STREAM, &[name.as_str().as_bytes()]))
}

/// An id for one of several that write on one device. It never crosses the wire as such.
pub fn writer(producer: ProducerId, number: u32) -> [u8; 16] {
    digest(DOMAIN_WRITER, &[&producer.0, &number.to_be_bytes()])
}

/// Random bytes drawn from a seed, one after the other: the core's only source of them.
#[derive(Clone, Debug)]
pub struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    /// `seed` comes from the operating system in a shell and from the seeded world in a simulation.
    pub fn new(seed: [u8; 32]) -> Random {
        Random { seed, drawn: 0 }
    }
    /// The next 16 bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        self.drawn += 1;
        digest(DOMAIN_RANDOM, &[&self.seed, &self.drawn.to_be_bytes()])
    }
    /// A number below `bound` (0 if `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_differ_by_domain_and_by_every_input() {
        let (p, e) = (ProducerId([7; 16]), Epoch([9; 16]));
        let id = EventId { producer: p, sequence: 1 };
        let t = tag(Tag::ZERO, b"x");
        assert_ne!(t, tag(t, b"x"));
        assert_ne!(t, tag(Tag::ZERO, b"y"));
        let c = check(check_of_empty(e), id, t);
        assert_ne!(c, check(check_of_empty(e), EventId { sequence: 2, ..id }, t));
        assert_ne!(derived_producer(id, t), derived_producer(id, Tag::ZERO));
    }

    #[test]
    fn random_is_a_function_of_its_seed() {
        let mut a = Random::new([1; 32]);
        let mut b = Random::new([1; 32]);
        assert_eq!(a.bytes(), b.bytes());
        assert_ne!(a.bytes(), Random::new([2; 32]).bytes());
        assert_eq!(a.below(0), 0);
        assert!((0..100).all(|_| a.below(3) < 3));
    }
}
