//! A payload is a *birth number*: which append of which physical device made it, so that "the same event twice" is
//! visible whatever its id is.

use bytes::Bytes;
use std::collections::BTreeMap;
use sync_core::ids::{EventId, ProducerId};

/// Ground truth: the n-th append of the world. Never reused, not even after a rollback.
pub type Birth = u32;

const MARK: &[u8] = b"\"payload\":";

/// The application's bytes of a birth, with so many bytes of padding behind.
pub fn payload(birth: Birth, padding_bytes: usize) -> Vec<u8> {
    format!("{{\"type\":\"birth\",\"payload\":{birth},\"padding\":\"{}\"}}", "x".repeat(padding_bytes)).into_bytes()
}

/// All births in bytes of any format that keeps contents as they are, in order.
pub fn births_in(bytes: &[u8]) -> Vec<Birth> {
    let mut births = vec![];
    let mut at = 0;
    while let Some(quote) = bytes[at..].iter().position(|byte| *byte == MARK[0]) {
        at += quote;
        if !bytes[at..].starts_with(MARK) {
            at += 1;
            continue;
        }
        at += MARK.len();
        let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit());
        births.push(digits.fold(0, |n, digit| n * 10 + Birth::from(digit - b'0')));
    }
    births
}

/// The birth that a content holds.
pub fn birth_of(content: &Bytes) -> Option<Birth> {
    births_in(content).first().copied()
}

/// Names in the model's notation: `a3` is device A's third event, `A:3` an id, `A'` the second producer id of A, `h(A:3)`
/// the producer derived from it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    births: Vec<String>,
    producers: BTreeMap<ProducerId, String>,
    /// How many producer ids each device has had.
    ids: BTreeMap<usize, usize>,
}

impl Names {
    /// A device's letter: `A` to `Z`, then `AA`.
    pub fn device(device: usize) -> String {
        let last = char::from(b'A' + (device % 26) as u8);
        let before = (device / 26).checked_sub(1).map(Names::device);
        before.unwrap_or_default() + last.encode_utf8(&mut [0; 4])
    }
    /// Names the next birth.
    pub fn born(&mut self, device: usize, append: usize) -> Birth {
        self.births.push(format!("{}{append}", Names::device(device).to_ascii_lowercase()));
        self.births.len() as Birth - 1
    }
    /// The birth's name.
    pub fn birth(&self, birth: Birth) -> &str {
        self.births.get(birth as usize).map_or("?", |name| name)
    }
    /// `[a1 b1]`
    pub fn list<'b>(&self, births: impl IntoIterator<Item = &'b Birth>) -> String {
        let names: Vec<&str> = births.into_iter().map(|birth| self.birth(*birth)).collect();
        format!("[{}]", names.join(" "))
    }
    /// A device said this id of itself: its first one is `A`, its second `A'`.
    pub fn producer_of(&mut self, producer: ProducerId, device: usize) {
        if !self.producers.contains_key(&producer) {
            let ids = self.ids.entry(device).or_default();
            *ids += 1;
            let name = format!("{}{}", Names::device(device), "'".repeat(*ids - 1));
            self.producers.insert(producer, name);
        }
    }
    /// This producer id is the digest of that event's id and tag.
    pub fn derived(&mut self, producer: ProducerId, from: EventId) {
        if !self.producers.contains_key(&producer) {
            let name = format!("h({})", self.id(from));
            self.producers.insert(producer, name);
        }
    }
    /// The producer's name; its first digits if nobody named it.
    pub fn producer(&self, producer: ProducerId) -> String {
        self.producers.get(&producer).cloned().unwrap_or_else(|| producer.to_string()[..6].into())
    }
    /// `A:3`
    pub fn id(&self, id: EventId) -> String {
        format!("{}:{}", self.producer(id.producer), id.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_are_found_in_bytes_of_any_format() {
        let mut bytes = vec![0xFF, 0x00];
        bytes.extend(payload(7, 3));
        bytes.push(0x80);
        bytes.extend(payload(4096, 0));
        assert_eq!(births_in(&bytes), [7, 4096]);
        assert_eq!(births_in(b"\"payload\""), [] as [Birth; 0]);
    }

    #[test]
    fn names_are_the_models() {
        let mut names = Names::default();
        let births = [names.born(0, 1), names.born(1, 1), names.born(0, 2)];
        assert_eq!(names.list(&births), "[a1 b1 a2]");
        assert_eq!([0, 25, 26, 51, 52, 999].map(Names::device), ["A", "Z", "AA", "AZ", "BA", "ALL"]);
        names.producer_of(ProducerId([1; 16]), 0);
        names.producer_of(ProducerId([2; 16]), 0);
        names.producer_of(ProducerId([1; 16]), 1);
        let id = EventId { producer: ProducerId([2; 16]), sequence: 3 };
        names.derived(ProducerId([3; 16]), id);
        assert_eq!(names.producer(ProducerId([3; 16])), "h(A':3)");
    }
}
